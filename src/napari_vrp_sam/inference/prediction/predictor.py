"""The predictor: a model with references, from frames to probabilities of the classes."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.batches import FrameBatches, batches_of_one_shape
from napari_vrp_sam.inference.prediction.feature_cache import (
    FeatureCache,
    annotations_digest,
)
from napari_vrp_sam.inference.prediction.frame_encoder import FrameEncoder, checked_frame
from napari_vrp_sam.inference.prediction.outputs import (
    FramePrediction,
    clear_missing,
    predict_from_probabilities,
)
from napari_vrp_sam.inference.prediction.pipeline import PipelineSettings, run_pipeline
from napari_vrp_sam.inference.prediction.reference_crops import (
    LARGEST_CROP,
    check_images,
    crop_references,
    image_key,
)
from napari_vrp_sam.inference.prediction.tiles.steps import finish, without_steps
from napari_vrp_sam.inference.prediction.tiles.tile_plan import tiled_logits
from napari_vrp_sam.inference.prediction.tiles.tiling import DEFAULT_TILE, TileProgress, check_tile
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures, Model
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.decision import shift_to_best_threshold
from napari_vrp_sam.models.devices import resolve_device
from napari_vrp_sam.models.precision import Precision, half_precision_dtype


class Predictor:
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

    def __init__(
        self,
        model: Model,
        *,
        device: str | torch.device = "auto",
        tile_size: int | None = None,
        precision: Precision = "auto",
        compile: bool = False,
        batch: int | None = None,
    ) -> None:
        self.device = resolve_device(device)
        half_precision_dtype(self.device, precision)  # raises for unknown names
        self.model = model.configured(self.device, precision=precision, compiled=compile)
        self.tile_size = check_tile(tile_size)
        self._batches = FrameBatches(self.model, self.device, batch, compiled=compile)
        self._encoder = FrameEncoder(self.model, self.device)
        self._class_ids: tuple[int, ...] = ()
        self._prepared: Any = None
        self._learned: object = None

    @property
    def batch_size(self) -> int:
        """Number of frames that `predict_stream` computes at a time, as memory allows now."""
        return self._batches.size

    @property
    def cache(self) -> FeatureCache | None:
        """Cache of frame features, if one is set."""
        return self._encoder.cache

    @cache.setter
    def cache(self, cache: FeatureCache | None) -> None:
        self._encoder.cache = cache

    @property
    def class_ids(self) -> tuple[int, ...]:
        """The K classes of the references, ascending."""
        return self._class_ids

    @property
    def prepared(self) -> Any:
        """Return value of `Model.prepare` for the references."""
        return self._prepared

    @property
    def calibrations(self) -> dict[int, ClassCalibration]:
        """Calibration and expected IoU of each class; empty for models without calibration."""
        return self.model.calibrations(self._prepared)

    @torch.no_grad()
    def set_references(
        self,
        references: Sequence[Reference],
        normalisation: Normalisation,
        *,
        effort: float = 1.0,
    ) -> None:
        """Learn the classes of annotated frames; do nothing if the same ones were learned last.

        Parameters
        ----------
        references : sequence of Reference
            References of any number of classes and frames.
        normalisation : Normalisation
            Normalisation of the stack to predict, applied to the references too.
        effort : float, default 1
            Effort of learning, above 0 up to 1; see `Model.effort`.

        Raises
        ------
        InputError
            If the effort is out of range, there is no reference, a reference has another number of
            channels than the stack, or two references with the same frame have different images.
        """
        if not references:
            raise InputError("There is no annotation: annotate a class on at least one frame.")
        check_images(references)
        check_effort(effort)
        known = self._key(references, normalisation, effort)
        if known == self._learned:
            return
        self._learned = None
        self._encoder.normalisation = normalisation
        # The model is this predictor's copy. Points and scribbles do not show the size of objects.
        self.model.adapt([r.mask > 0.5 for r in references if r.kind in {"mask", "partial", "box"}])
        images: dict[object, tuple[torch.Tensor, FrameFeatures]] = {}
        encoded = []
        part = self._reference_side if self.model.input_side else LARGEST_CROP
        for reference in crop_references(references, self._reference_side, part):
            key = image_key(reference)
            if key not in images:
                planes = self._encoder.planes(reference.image)
                images[key] = planes, self.encode(reference.image)
            image, features = images[key]
            mask, ignored, negative = (
                None if pixels is None else torch.from_numpy(pixels).to(self.device)
                for pixels in (reference.mask, reference.ignored, reference.negative)
            )
            assert mask is not None
            encoded.append(
                EncodedReference(
                    features,
                    mask,
                    reference.class_id,
                    reference.kind,
                    reference.frame,
                    ignored,
                    image,
                    negative,
                )
            )
        self._class_ids = class_ids_of(references)
        self.model.effort = effort
        self._prepared = self.model.prepare(encoded)
        self._learned = known

    def has_learned(
        self, references: Sequence[Reference], normalisation: Normalisation, *, effort: float = 1.0
    ) -> bool:
        """Return True if `set_references` with the same arguments has nothing to do."""
        return self._key(references, normalisation, effort) == self._learned

    def _key(
        self, references: Sequence[Reference], normalisation: Normalisation, effort: float
    ) -> object:
        effort = effort if self.model.uses_effort else 1.0
        return annotations_digest(references), normalisation, self._reference_side, effort

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
        if max(frame.shape[:2]) <= self.tile_size:
            return self.probabilities(clear_missing(self._logits(self.encode(frame)), frame))
        return self.probabilities(finish(self._tiled_logits(frame)))

    @overload
    def predict_stream(
        self,
        frames: Iterable[NDArray[Any]],
        *,
        probabilities: bool = True,
        tiles: Literal[False] = False,
    ) -> Generator[FramePrediction]: ...

    @overload
    def predict_stream(
        self, frames: Iterable[NDArray[Any]], *, probabilities: bool = True, tiles: Literal[True]
    ) -> Generator[FramePrediction | TileProgress]: ...

    def predict_stream(
        self, frames: Iterable[NDArray[Any]], *, probabilities: bool = True, tiles: bool = False
    ) -> Generator[FramePrediction | TileProgress]:
        """Predict many frames; on a GPU faster than one by one.

        Parameters
        ----------
        frames : iterable of ndarray, shape (Y, X, C) or (Y, X)
            On a GPU they are read ahead in another thread, which stops with the loop.
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
        size = self._batches.size
        ahead = iter(frames)
        if size > 1 and self.cache is None and (first := next(ahead, None)) is not None:
            ahead = itertools.chain([first], ahead)
            if max(first.shape[:2]) <= self.tile_size:
                work = PipelineSettings(
                    self._batches.logits(self._prepared),
                    self._encoder.known_normalisation(),
                    self.class_ids,
                    self.device,
                    size,
                    fixed=self._batches.compiled,
                    probabilities=probabilities,
                )
                yield from run_pipeline(map(checked_frame, ahead), work)
                return
        for steps in self.logits_stream(ahead):
            found = self.probabilities((yield from steps) if tiles else finish(steps))
            prediction = predict_from_probabilities(found, self.class_ids)
            yield prediction if probabilities else replace(prediction, probabilities=None)

    def encode_ahead(self, frame: NDArray[Any], normalisation: Normalisation) -> None:
        """Encode a frame for `set_references` and `predict`, if features are cached.

        Does nothing for a frame that is predicted in tiles.

        Parameters
        ----------
        frame : ndarray, shape (Y, X, C)
        normalisation : Normalisation
            Normalisation of the stack.
        """
        if self.cache is not None and max(frame.shape[:2]) <= self.tile_size:
            if self._encoder.normalisation != normalisation:
                self._learned = None
                self._encoder.normalisation = normalisation
            self.encode(frame)

    def planes(self, frame: NDArray[Any]) -> torch.Tensor:
        """Return a frame, shape (Y, X, C), as models see it: (3, Y, X), normalised."""
        return self._encoder.planes(frame)

    @torch.no_grad()
    def encode(self, frame: NDArray[Any]) -> FrameFeatures:
        """Encode a frame, the expensive half of `predict`; features do not depend on references."""
        return self._encoder.encode([frame])[0]

    def logits_stream(
        self, frames: Iterable[NDArray[Any]]
    ) -> Iterator[Generator[TileProgress, None, NDArray[np.float32]]]:
        """Yield the steps that return the logits (K, Y, X) of each frame; see `probabilities`.

        Parameters
        ----------
        frames : iterable of ndarray, shape (Y, X, C)
            Read a batch ahead.
        """
        for batch in batches_of_one_shape(frames, self._batches.size):
            if max(batch[0].shape[:2]) > self.tile_size:  # its tiles are batches already
                yield from map(self._tiled_logits, batch)
            else:
                yield from map(without_steps, self._batch_logits(batch))

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
    def _tiled_logits(
        self, frame: NDArray[Any]
    ) -> Generator[TileProgress, None, NDArray[np.float32]]:
        """Return the logits of a frame of several tiles; yield the progress."""

        def encode_tiles(tiles: Iterable[tuple[slice, slice]]) -> Iterator[FrameFeatures]:
            for batch in batches_of_one_shape((frame[t] for t in tiles), self._batches.size):
                yield from self._encoder.encode(batch)

        size = frame.shape[0], frame.shape[1]
        steps = tiled_logits(self.model, self._prepared, encode_tiles, size, self.tile_size)
        return clear_missing((yield from steps), frame)

    def decode(self, features: FrameFeatures) -> NDArray[np.float32]:
        """Return the probabilities of an encoded frame, the cheap half of `predict`."""
        return self.probabilities(self._logits(features))

    @torch.no_grad()
    def _logits(self, features: FrameFeatures) -> NDArray[np.float32]:
        prompts = self.model.prompt(features, self._prepared)
        logits: NDArray[np.float32] = self.model.decode(features, prompts).float().cpu().numpy()
        return logits

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn the logits of whole frames, shape (..., K, Y, X), into probabilities, in place."""
        # In place, because the logits of a large frame fill much memory.
        values = torch.from_numpy(logits)
        if self.model.best_threshold:
            shift_to_best_threshold(values)
        probabilities: NDArray[np.float32] = values.sigmoid_().numpy()
        return probabilities

    @property
    def _reference_side(self) -> int:
        """Longest side of references that are learned without cropping."""
        # A class must have the same size on a reference as in a tile. This matters for models that
        # resize frames only; others learn from as much as memory allows.
        return self.tile_size if self.model.input_side else max(self.tile_size, DEFAULT_TILE)


def check_effort(effort: float) -> float:
    """Return an effort of learning.

    Raises
    ------
    InputError
        If it is not above 0 up to 1.
    """
    if not 0 < effort <= 1:
        raise InputError(f"The effort {effort} is out of range: choose one above 0 and up to 1.")
    return effort
