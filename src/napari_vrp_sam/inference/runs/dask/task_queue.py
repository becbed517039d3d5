"""Tasks on the workers of dask.distributed: submitted ahead, with results as they come."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.dask.paused_workers import PausedWorkerWatch

if TYPE_CHECKING:
    import numpy as np
    from distributed import Client, Future
    from numpy.typing import NDArray

AHEAD = 2
"""Tasks per worker that are submitted ahead; their results, and frames that have to be sent, are in
memory at the same time."""


class TaskQueue:
    """Tasks of one run.

    Parameters
    ----------
    client : distributed.Client

    Attributes
    ----------
    control : Control
        Checked whenever a result is awaited.
    """

    def __init__(self, client: Client) -> None:
        self.control = Control()
        self._client = client
        self._workers, self._asked = 0, -math.inf
        self._paused_workers = PausedWorkerWatch(client)

    def results(self, tasks: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Yield the results of tasks as they come; some tasks are submitted ahead.

        A task is a function and its arguments.
        """
        pending: list[Future[Any]] = []
        try:
            for task in tasks:
                while len(pending) >= self._most_pending():
                    yield self.next_result(pending)
                pending.append(self.submit(*task))
            while pending:
                yield self.next_result(pending)
        finally:
            self._client.cancel(pending)

    def submit(
        self, task: Callable[..., Any], *arguments: Any, on: str | None = None
    ) -> Future[Any]:
        """Submit a task, preferably to a certain worker."""
        import dask

        options = {} if on is None else {"workers": [on], "allow_other_workers": True}
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            return self._client.submit(task, *arguments, pure=False, **options)

    def workers(self) -> list[str]:
        """Return the addresses of the workers that are connected."""
        with _connected():
            return list(self._client.nthreads())

    def next_result(self, pending: list[Future[Any]]) -> Any:
        """Wait for any of the tasks, remove it from the list, and return its result."""
        from distributed import KilledWorker, wait

        while True:
            self.control.check()
            try:
                with _connected():
                    done = wait(pending, timeout=0.2, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                self._paused_workers.check()
                continue
            self._paused_workers.reset()
            future = done.pop()
            pending.remove(future)
            try:
                with _connected():
                    return future.result()
            except KilledWorker as error:
                raise InputError(
                    "Several workers died on the same frame, perhaps because they ran out of "
                    "memory: give each more memory, start fewer per machine, or use smaller tiles."
                ) from error

    def _most_pending(self) -> int:
        """Return how many tasks may be pending; workers come and go."""
        if time.monotonic() > self._asked + 5:
            self._asked = time.monotonic()
            self._workers = len(self.workers())
        return AHEAD * max(self._workers, 1)


@contextmanager
def _connected() -> Iterator[None]:
    """Turn the errors of a lost connection to the scheduler into one sentence."""
    from distributed import CancelledError
    from distributed.comm.core import CommClosedError

    try:
        yield
    except (CancelledError, CommClosedError) as error:
        raise InputError(
            "The connection to the scheduler was lost: finished frames are kept; start the run "
            "again."
        ) from error


def in_order(results: Iterable[tuple[int, NDArray[np.float32]]]) -> Iterator[NDArray[np.float32]]:
    """Yield numbered results in order, because sums of floats depend on it."""
    early: dict[int, NDArray[np.float32]] = {}
    following = 0
    for number, result in results:
        early[number] = result
        while following in early:
            yield early.pop(following)
            following += 1
