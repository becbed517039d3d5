"""The predictor: a model with references, from frames to probabilities of the classes."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.out_of_core.frame_view import FrameLike
from napari_vrp_sam.inference.prediction.frame_encoder import checked_frame, in_memory
from napari_vrp_sam.inference.prediction.frame_logits import FrameLogits
from napari_vrp_sam.inference.prediction.memory import UnfinishedFrames
from napari_vrp_sam.inference.prediction.outputs import FramePrediction
from napari_vrp_sam.inference.prediction.pipeline import PipelineSettings, run_pipeline
from napari_vrp_sam.inference.prediction.tiles.large_frames import (
    predict_from_any_probabilities,
    probabilities_of,
)
from napari_vrp_sam.inference.prediction.tiles.steps import finish
from napari_vrp_sam.inference.prediction.tiles.tiling import TileProgress
from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.devices import is_out_of_memory


class Predictor(FrameLogits):
    """Predict the classes of annotated references on frames.

    Gradients are off, but not through torch's inference mode: a model may fit a small classifier
    by gradient descent while it learns the references.

    Parameters
    ----------
    model : Model
        Copied if it lies on another device; the model itself stays as it is.
    device : str
        "cpu", "cuda", "mps", or "auto" for the fastest available device.
    tile_size : int, optional
        Larger frames are predicted in tiles of this many pixels, and larger references are
        learned from crops; default: 2048.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Floating-point format of the model; "auto" is half precision on devices where it is fast,
        and for `lite` on CUDA devices only.
    compile : bool
        Whether the encoders of a full-size model run through `torch.compile`, and on a GPU whole
        batches as CUDA graphs: one or two minutes of warm-up, for long stacks of one frame size.
    batch : int, optional
        Number of frames that `predict_stream` computes at a time; default: on a GPU as many as fit
        into its memory, up to 8, on a CPU one.

    Raises
    ------
    InputError
        If the device does not exist, or tiles are too small.
    """

    def predict(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probability of each class in each pixel of a frame; large frames are tiled.

        Parameters
        ----------
        frame : ndarray, shape (Y, X, C) or (Y, X)
            Raw intensities of the stack, 16 x 16 pixels or larger.

        Returns
        -------
        ndarray, shape (K, Y, X), float32
            In the order of `class_ids`; the classes do not exclude each other.

        Raises
        ------
        InputError
            If no references are set, or the frame does not match them.
        """
        return np.asarray(self.probabilities(finish(self._frame_steps(checked_frame(frame)))))

    @overload
    def predict_stream(
        self,
        frames: Iterable[FrameLike],
        *,
        probabilities: bool = True,
        tiles: Literal[False] = False,
    ) -> Generator[FramePrediction]: ...

    @overload
    def predict_stream(
        self, frames: Iterable[FrameLike], *, probabilities: bool = True, tiles: Literal[True]
    ) -> Generator[FramePrediction | TileProgress]: ...

    def predict_stream(
        self, frames: Iterable[FrameLike], *, probabilities: bool = True, tiles: bool = False
    ) -> Generator[FramePrediction | TileProgress]:
        """Predict many frames; on a GPU faster than one by one.

        Parameters
        ----------
        frames : iterable of ndarray or FrameView, shape (Y, X, C) or (Y, X)
            On a GPU they are read ahead in another thread, which stops with the loop. The tiles of
            a view are read one by one.
        probabilities : bool
            Whether to return them too.
        tiles : bool
            Whether to yield the progress in frames of several tiles too.

        Yields
        ------
        FramePrediction
            In the order of the frames.
        TileProgress
            Before each tile, if requested.

        Raises
        ------
        InputError
            See `predict`.
        """
        ahead = UnfinishedFrames(frames)
        while self._uses_pipeline(ahead):
            size = self._batches.size
            work = PipelineSettings(
                self._batches.logits(self._prepared),
                self._encoder.known_normalisation(),
                self.class_ids,
                self.device,
                size,
                fixed=self._batches.compiled,
                probabilities=probabilities,
            )
            try:
                for prediction in run_pipeline(map(in_memory, ahead), work):
                    ahead.finish()
                    yield prediction
                return
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._use_less_memory(ahead.rewind(), size)
        for steps in self.logits_stream(ahead):
            ahead.finish()
            found = self.probabilities((yield from steps) if tiles else finish(steps))
            prediction = predict_from_any_probabilities(found, self.class_ids)
            yield prediction if probabilities else replace(prediction, probabilities=None)

    def _uses_pipeline(self, frames: UnfinishedFrames) -> bool:
        """Return whether the next frames are computed in batches, without a cache or tiles."""
        if self._batches.size == 1 or self.cache is not None:
            return False
        first = frames.peek()
        return first is not None and max(first.shape[:2]) <= self.tile_side

    def encode_ahead(self, frame: NDArray[Any], normalisation: Normalisation) -> None:
        """Encode a frame for `set_references` and `predict`, if features are cached.

        Does nothing for a frame that is predicted in tiles.

        Parameters
        ----------
        frame : ndarray, shape (Y, X, C)
        normalisation : Normalisation
            Normalisation of the stack.
        """
        if self.cache is not None and max(frame.shape[:2]) <= self.tile_side:
            if self._encoder.normalisation != normalisation:
                self._learned = None
                self._encoder.normalisation = normalisation
            self.encode(frame)

    def decode(self, features: FrameFeatures) -> NDArray[np.float32]:
        """Return the probabilities of an encoded frame, the cheap half of `predict`."""
        return np.asarray(self.probabilities(self._logits(features)))

    def probabilities(self, logits: Any) -> Any:
        """Turn the logits of whole frames, shape (..., K, Y, X), into probabilities, in place."""
        return probabilities_of(logits, best_threshold=self.model.best_threshold)
