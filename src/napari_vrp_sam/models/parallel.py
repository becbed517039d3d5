"""Independent computations on a CPU, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import TypeVar

import torch

from napari_vrp_sam.models.interruption import current_check, interruptible

T = TypeVar("T")

_lock = threading.Lock()
_nested: ContextVar[bool] = ContextVar("_nested", default=False)


def run_parallel(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Run independent computations of PyTorch side by side, each with one thread.

    Operations on small tensors gain nothing from a second thread; whole computations do. With one
    thread each, their results do not depend on the number of CPU cores either.

    Parameters
    ----------
    calls : sequence of callable
        They run without gradients and in copies of this context, so that `interruptible` works.

    Returns
    -------
    list
        What the callables return, in their order.
    """
    if _nested.get():
        return _run(calls)
    # PyTorch hands the number of threads of the process to each new thread; one caller at a time.
    with _lock:
        threads = torch.get_num_threads()
        try:
            return _run(calls)
        finally:
            torch.set_num_threads(threads)


def _run(calls: Sequence[Callable[[], T]]) -> list[T]:
    failed = threading.Event()
    with ThreadPoolExecutor(
        len(calls), "vrp-sam-learn", initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        futures = [pool.submit(copy_context().run, _guarded, call, failed) for call in calls]
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in errors:
        if not isinstance(error, _AbandonedError):
            raise error
    return [future.result() for future in futures]


def _guarded(call: Callable[[], T], failed: threading.Event) -> T:
    """Call without gradients; stop where it checks for interruptions once another call failed."""
    _nested.set(True)
    check = current_check()

    def check_both() -> None:
        if failed.is_set():
            raise _AbandonedError
        if check is not None:
            check()

    try:
        with interruptible(check_both), torch.no_grad():
            return call()
    except BaseException:
        failed.set()
        raise


class _AbandonedError(Exception):
    """Another computation has failed, so the result of this one is not needed."""
