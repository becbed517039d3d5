"""Peak memory of a block of code."""

from __future__ import annotations

import gc
import threading
from types import TracebackType

import psutil


class PeakMemory:
    """Measures the largest increase of memory use within a block, in bytes."""

    def __init__(self, device: str) -> None:
        self._cuda = device.startswith("cuda")
        self._process = psutil.Process()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak = 0

    def __enter__(self) -> PeakMemory:
        gc.collect()
        if self._cuda:
            import torch

            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        else:
            self._before = self._process.memory_info().rss
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._cuda:
            import torch

            self.peak = torch.cuda.max_memory_allocated() - self._before
        else:
            self._end.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.01):
            self.peak = max(self.peak, self._process.memory_info().rss - self._before)
