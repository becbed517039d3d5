"""A function of one tensor as a CUDA graph, which launches its many small kernels at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UPS = 3
"""Number of runs before the capture, in which kernels are compiled and selected."""


class CapturedFunction:
    """Capture a function at the second input of a shape, and replay it from then on.

    A function that waits for the GPU cannot be captured and is run as it is. So are batches that
    are smaller than the captured one, such as the last of a stack.

    Parameters
    ----------
    function : callable
        Takes and returns a tensor on a GPU; a result is valid until the next call.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self._function = function
        self._graph: torch.cuda.CUDAGraph | None = None
        self._given: Tensor | None = None
        self._result: Tensor | None = None
        self._fits = True
        self._before: torch.Size | None = None

    def __call__(self, given: Tensor) -> Tensor:
        """Return the result of the function.

        Raises
        ------
        torch.cuda.OutOfMemoryError
            If the GPU runs out of memory; nothing is captured from then on.
        """
        if self._fits and not self._is_captured(given):
            # A capture takes as long as several runs, so a shape must come twice.
            if self._before == given.shape:
                self._capture(given)
            self._before = given.shape
        if self._graph is None or self._given is None or self._given.shape != given.shape:
            return self._function(given)
        assert self._result is not None
        self._given.copy_(given)
        self._graph.replay()
        return self._result

    def _is_captured(self, given: Tensor) -> bool:
        known = self._given
        return known is not None and known.shape[1:] == given.shape[1:] and len(known) >= len(given)

    def _capture(self, given: Tensor) -> None:
        try:
            self._try_to_capture(given)
        except torch.cuda.OutOfMemoryError:
            self._fits, self._graph, self._given, self._result = False, None, None, None
            raise

    def _try_to_capture(self, given: Tensor) -> None:
        self._graph, self._given = None, given.clone()
        beside = torch.cuda.Stream(given.device)
        beside.wait_stream(torch.cuda.current_stream(given.device))
        with torch.cuda.stream(beside):
            for _ in range(WARM_UPS):
                self._function(self._given)
        torch.cuda.current_stream(given.device).wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        try:
            # Another thread reads frames into page-locked memory at the same time.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._result = self._function(self._given)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError:  # it waits for the GPU somewhere
            torch.cuda.synchronize(given.device)
            return
        self._graph = graph
