"""Logits of frames: in batches, in tiles, and with less memory if they do not fit."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vrp_sam.inference.out_of_core.frame_view import FrameLike
from napari_vrp_sam.inference.out_of_core.scratch import release_memory, window_side, windows
from napari_vrp_sam.inference.prediction.batches import batches_of_one_shape
from napari_vrp_sam.inference.prediction.frame_encoder import in_memory
from napari_vrp_sam.inference.prediction.learned_model import LearnedModel
from napari_vrp_sam.inference.prediction.outputs import clear_missing
from napari_vrp_sam.inference.prediction.tiles.steps import without_steps
from napari_vrp_sam.inference.prediction.tiles.tile_plan import tiled_logits
from napari_vrp_sam.inference.prediction.tiles.tiling import TileProgress
from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.devices import is_out_of_memory


class FrameLogits(LearnedModel):
    """Model with references that computes the logits of frames."""

    def planes(self, frame: NDArray[Any]) -> torch.Tensor:
        """Return a frame, shape (Y, X, C), as models see it: (3, Y, X), normalised."""
        return self._encoder.planes(frame)

    @torch.no_grad()
    def encode(self, frame: NDArray[Any]) -> FrameFeatures:
        """Encode a frame, the expensive half of `predict`; features do not depend on references."""
        return self._encoder.encode([frame])[0]

    def logits_stream(
        self, frames: Iterable[FrameLike]
    ) -> Iterator[Generator[TileProgress, None, Any]]:
        """Yield the steps that return the logits (K, Y, X) of each frame; see `probabilities`.

        Parameters
        ----------
        frames : iterable of ndarray or FrameView, shape (Y, X, C)
            Read a batch ahead.
        """
        for batch in batches_of_one_shape(frames, self._batches.size):
            yield from self._batch_steps(batch)

    def _batch_steps(
        self, batch: Sequence[FrameLike]
    ) -> Iterator[Generator[TileProgress, None, Any]]:
        """Yield the steps of frames of one shape; a batch that does not fit is halved."""
        # The tiles of large frames are batches already.
        if len(batch) == 1 or max(batch[0].shape[:2]) > self.tile_side:
            yield from map(self._frame_steps, batch)
            return
        if len(batch) <= self._batches.size:  # it may have become smaller meanwhile
            found = None
            try:
                found = self._batch_logits([*map(in_memory, batch)])
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            if found is not None:
                yield from map(without_steps, found)
                return
            self._use_less_memory(batch[0], len(batch))
        size = self._batches.size
        for start in range(0, len(batch), size):
            yield from self._batch_steps(batch[start : start + size])

    def _frame_steps(self, frame: FrameLike) -> Generator[TileProgress, None, Any]:
        """Return the logits of a frame, with less memory than usual if it does not fit."""
        while True:
            tiled = max(frame.shape[:2]) > self.tile_side
            batch = self._batches.size if tiled else 1
            try:
                if tiled:
                    return (yield from self._tiled_logits(frame))
                logits: NDArray[np.float32] = self._batch_logits([in_memory(frame)])[0]
                return logits
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._use_less_memory(frame, batch)

    @torch.no_grad()
    def _batch_logits(self, frames: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """Return the logits (B, K, Y, X) of frames of one shape."""
        features = FrameFeatures.concatenate(self._encoder.encode(frames))
        logits: NDArray[np.float32] = (
            self.model.segment(features, self._prepared).float().cpu().numpy()
        )
        for one, frame in zip(logits, frames, strict=True):
            clear_missing(one, frame)
        return logits

    @torch.no_grad()
    def _tiled_logits(self, frame: FrameLike) -> Generator[TileProgress, None, Any]:
        """Return the logits of a frame of several tiles; yield the progress."""

        def encode_tiles(tiles: Iterable[tuple[slice, slice]]) -> Iterator[FrameFeatures]:
            large = not isinstance(frame, np.ndarray)
            for batch in batches_of_one_shape((frame[t] for t in tiles), self._batches.size):
                if large:
                    release_memory()
                yield from self._encoder.encode(batch, cached=not large)

        size = frame.shape[0], frame.shape[1]
        steps = tiled_logits(self.model, self._prepared, encode_tiles, size, self.tile_side)
        logits = yield from steps
        for part in windows(size, window_side(frame.shape[2], frame.dtype)):
            clear_missing(logits, frame, part)
        return logits

    @torch.no_grad()
    def _logits(self, features: FrameFeatures) -> NDArray[np.float32]:
        prompts = self.model.prompt(features, self._prepared)
        logits: NDArray[np.float32] = self.model.decode(features, prompts).float().cpu().numpy()
        return logits
