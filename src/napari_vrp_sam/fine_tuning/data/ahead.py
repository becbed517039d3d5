"""Batches prepared ahead of the training by one thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

Batch = dict[str, Any]


class BatchesAhead:
    """Prepare the batch of the next step while the present one is trained.

    Batches must depend on the step only, and are made by one thread, one after another. Use it as a
    context manager, which ends the thread.
    """

    def __init__(self, make: Callable[[int], Batch]) -> None:
        self._make = make
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._step: int | None = None
        self._future: Future[Batch] | None = None

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, and start to prepare the next one."""
        future = self._future
        if future is None or self._step != step:
            future = self._pool.submit(self._make, step)
        batch = future.result()
        self._step, self._future = step + 1, self._pool.submit(self._make, step + 1)
        return batch

    def __enter__(self) -> BatchesAhead:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
