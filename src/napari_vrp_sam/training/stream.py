"""Base class of the streams of training batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info


class StepStream(IterableDataset[dict[str, Any]], ABC):
    """Batches that each depend only on their step.

    Pass it to ``DataLoader(stream, batch_size=None, num_workers=N)``: the batches and their order
    are the same for every N, and a run resumed at step n sees the batches of an uninterrupted run.

    Parameters
    ----------
    steps : int
        Step at which the stream ends.
    start : int, default: 0
        First step.
    """

    def __init__(self, steps: int, start: int = 0) -> None:
        super().__init__()
        self.steps = steps
        self.start = start

    @abstractmethod
    def batch(self, step: int) -> dict[str, Any]:
        """Return the batch of one step, with the step's number as ``step``."""

    def __len__(self) -> int:
        # Length of the whole run: Lightning counts the steps before `start` as done.
        return self.steps

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        # The loader reads from its workers in turn, so each of N workers makes every N-th step.
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for step in range(self.start + first, self.steps, stride):
            yield self.batch(step)
