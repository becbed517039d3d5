"""Interruption of long computations, such as learning, by their caller."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

_check: ContextVar[Callable[[], None] | None] = ContextVar("_check", default=None)


@contextmanager
def interruptible(check: Callable[[], None]) -> Generator[None]:
    """Let a function interrupt the computations in this context by raising an exception.

    Parameters
    ----------
    check : callable
        Called often; may also wait.

    Examples
    --------
    >>> with interruptible(lambda: print("checked")):
    ...     check_interrupted()
    checked
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def current_check() -> Callable[[], None] | None:
    """Return the function of `interruptible` in this context, if there is one."""
    return _check.get()


def check_interrupted() -> None:
    """Call the function of `interruptible`, if this computation has one."""
    check = _check.get()
    if check is not None:
        check()
