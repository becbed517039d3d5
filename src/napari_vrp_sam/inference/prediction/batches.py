"""Batches of frames: choice of their size, and their prediction by a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor

from napari_vrp_sam.inference.out_of_core.frame_view import FrameLike
from napari_vrp_sam.inference.prediction.cuda_graph import CapturedFunction
from napari_vrp_sam.models.base import Model
from napari_vrp_sam.models.decision import shift_to_best_threshold

Frame = TypeVar("Frame", bound=FrameLike)

MOST_FRAMES = 8
"""Largest number of frames in a batch; larger batches are not faster."""

BYTES_PER_FRAME = 2 * 2**30
"""GPU memory that a frame of a batch may need with the largest model."""


class FrameBatches:
    """Choose the batch size and run batches through a model.

    Parameters
    ----------
    model : Model
    device : torch.device
    frames : int, optional
        Batch size; see `Predictor`.
    compiled : bool
        Whether the model is compiled, so that a GPU runs a batch as a CUDA graph; see also
        `Model.uses_cuda_graphs`.
    """

    def __init__(
        self, model: Model, device: torch.device, frames: int | None, *, compiled: bool
    ) -> None:
        self._model, self._device, self._frames = model, device, frames
        self.compiled = compiled
        self._graph: tuple[Any, CapturedFunction] | None = None

    @property
    def _graphed(self) -> bool:
        return self._device.type == "cuda" and (self.compiled or self._model.uses_cuda_graphs)

    @property
    def size(self) -> int:
        """Number of frames in a batch, as the free memory allows."""
        if self._frames is not None or self._device.type != "cuda":
            return self._frames or 1
        free, _ = torch.cuda.mem_get_info(self._device)
        # Memory that PyTorch has reserved counts as used for the driver, but is free for us.
        free += torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        size = max(1, min(MOST_FRAMES, free // BYTES_PER_FRAME))
        if self._graphed:
            self._frames = size  # fixed, because another size would be captured again
        return size

    def limit(self, frames: int) -> None:
        """Limit the number of frames per batch, and discard the CUDA graph."""
        self._frames, self._graph = frames, None

    def logits(self, prepared: Any) -> Callable[[Tensor], Tensor]:
        """Return a function from normalised frames (B, 3, Y, X) to logits (B, K, Y, X)."""

        @torch.no_grad()
        def segment(images: Tensor) -> Tensor:
            logits = self._model.segment(self._model.encode(images), prepared)
            return shift_to_best_threshold(logits) if self._model.best_threshold else logits

        if not self._graphed:
            return segment
        # Captured again when other references were learned.
        if self._graph is None or self._graph[0] is not prepared:
            self._graph = prepared, CapturedFunction(segment)
        return self._graph[1]


def batches_of_one_shape(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Yield consecutive frames in batches of at most `size` frames of one shape."""
    batch: list[Frame] = []
    try:
        for frame in frames:
            if batch and frame.shape != batch[0].shape:
                yield batch
                batch = []
            batch.append(frame)
            if len(batch) == size:
                yield batch
                batch = []
    except Exception:  # a frame that cannot be read must not take others of its batch with it
        if batch:
            yield batch
        raise
    if batch:
        yield batch
