"""A function of one tensor as a CUDA graph: its many small steps are started as one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UPS = 3
"""Runs before the capture: kernels are built and chosen there."""


class Graphed:
    """Captures the function at the first input of a shape, and replays it from then on.

    The function must not wait for the GPU; one that does is run as it is.

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

    def __call__(self, given: Tensor) -> Tensor:
        """The function's result."""
        if self._given is None or self._given.shape != given.shape:
            self._capture(given)
        if self._graph is None:
            return self._function(given)
        assert self._given is not None
        assert self._result is not None
        self._given.copy_(given)
        self._graph.replay()
        return self._result

    def _capture(self, given: Tensor) -> None:
        self._graph, self._given = None, given.clone()
        beside = torch.cuda.Stream(given.device)  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream(given.device))
        with torch.cuda.stream(beside):
            for _ in range(WARM_UPS):
                self._function(self._given)
        torch.cuda.current_stream(given.device).wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._result = self._function(self._given)
        except RuntimeError:  # it waits for the GPU somewhere
            torch.cuda.synchronize(given.device)
            return
        self._graph = graph
