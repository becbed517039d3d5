"""A function of one tensor as a CUDA graph: its many small steps are started as one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UPS = 3
"""Runs before the capture: kernels are built and chosen there."""


class Graphed:
    """Captures the function at the second input of a shape, and replays it from then on.

    The function must not wait for the GPU; one that does is run as it is, and so are batches that
    are smaller than the captured one: the last of a stack.

    Parameters
    ----------
    function : callable
        Of a tensor on a GPU; the result of one call lasts until the next.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self._function = function
        self._graph: torch.cuda.CUDAGraph | None = None
        self._given: Tensor | None = None
        self._result: Tensor | None = None
        self._fits = True
        self._before: torch.Size | None = None

    def __call__(self, given: Tensor) -> Tensor:
        """The function's result.

        Raises
        ------
        torch.cuda.OutOfMemoryError
            If the GPU's memory does not suffice; nothing is captured from then on.
        """
        if self._fits and not self._is_captured(given):
            # A capture takes as long as several runs: not for what comes once.
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
        """Whether it is, or is the rest of what is."""
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
        beside = torch.cuda.Stream(given.device)  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream(given.device))
        with torch.cuda.stream(beside):
            for _ in range(WARM_UPS):
                self._function(self._given)
        torch.cuda.current_stream(given.device).wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        try:
            # Meanwhile another thread reads frames into page-locked memory.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._result = self._function(self._given)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError:  # it waits for the GPU somewhere
            torch.cuda.synchronize(given.device)
            return
        self._graph = graph
