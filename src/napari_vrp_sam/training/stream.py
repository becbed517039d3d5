"""The stream of batches that a training reads, whatever they hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info


class StepStream(IterableDataset[dict[str, Any]], ABC):
    """Batches of which each is a function of its step alone.

    Hand it to ``DataLoader(stream, batch_size=None, num_workers=N)``: the batches and their order
    are the same for every N, and a run resumed at step n sees what an uninterrupted run would have.

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
        """The batch of one step; its ``step`` tells which."""

    def __len__(self) -> int:
        # Of the whole run: Lightning counts the steps before `start` as done.
        return self.steps

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        # the loader asks its workers in turn: every one makes each N-th step
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for step in range(self.start + first, self.steps, stride):
            yield self.batch(step)
