"""Computations in steps, which report the progress in the tiles of a large frame."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

Result = TypeVar("Result")


def finish(steps: Generator[Any, None, Result]) -> Result:
    """Run steps to their end without reporting progress, and return their result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def without_steps(result: Result) -> Generator[Any, None, Result]:
    """Return a result that is already known as steps that report nothing."""
    yield from ()
    return result
