"""A model with references set: frame in, probability of each class out."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import check_frame_size
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.batches import FrameBatches
from napari_vrp_sam.inference.prediction.feature_cache import (
    FeatureCache,
    annotations_digest,
    frame_key,
)
from napari_vrp_sam.inference.prediction.outputs import FramePrediction, predict_from_probabilities
from napari_vrp_sam.inference.prediction.pipeline import PipelineSettings, run_pipeline
from napari_vrp_sam.inference.prediction.reference_crops import (
    LARGEST_PART,
    check_images,
    image_key,
    windowed,
)
from napari_vrp_sam.inference.prediction.tile_plan import tiled_logits
from napari_vrp_sam.inference.prediction.tiling import DEFAULT_TILE, check_tile
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures, Model
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.devices import resolve_device
from napari_vrp_sam.models.precision import Precision, half_precision_dtype


class Predictor:
    """Segments frames by annotated references.

    Nothing is recorded for gradients. It is not torch's inference mode that sees to that: a model
    may fit a small classifier by gradient descent while it learns the references.

    Parameters
    ----------
    model : Model
        Copied if it lies on another device; the model itself stays as it is.
    device : str
        "cpu", "cuda", "mps", or "auto" for the fastest one that is there.
    tile_size : int, optional
        Longest side of what is seen at once, in pixels; larger frames are segmented in tiles, and
        of larger references parts are learned.
    precision : {"auto", "float32", "bfloat16", "float16"}
        What the model computes in; "auto" is half precision where the device is quick in it, for
        `lite` on CUDA devices only.
    compile : bool
        Whether the encoders of a full-size model run through `torch.compile`, and on a GPU the
        whole of a batch as a CUDA graph: a minute or two of preparation for more speed, for long
        stacks of one frame size.
    batch : int, optional
        Frames that `predict_stream` computes at a time; on a GPU as many as fit into its memory, up
        to 8, on a processor one unless given.

    Attributes
    ----------
    cache : FeatureCache, optional
        Keeps the features of frames, if somebody sets it.

    Raises
    ------
    InputError
        If there is no such device, or tiles are too small.
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
        half_precision_dtype(self.device, precision)  # refuses what it does not know
        self.model = model.configured(self.device, precision=precision, compiled=compile)
        self.tile_size = check_tile(tile_size)
        self.cache: FeatureCache | None = None
        self._batches = FrameBatches(self.model, self.device, batch, compiled=compile)
        self._normalisation: Normalisation | None = None
        self._class_ids: tuple[int, ...] = ()
        self._prepared: Any = None
        self._learned: object = None

    @property
    def batch_size(self) -> int:
        """Number of frames that `predict_stream` computes at a time, as memory allows now."""
        return self._batches.size

    @property
    def class_ids(self) -> tuple[int, ...]:
        """The K classes of the references, ascending."""
        return self._class_ids

    @property
    def prepared(self) -> Any:
        """What the model made of the references; see `Model.prepare`."""
        return self._prepared

    @property
    def calibrations(self) -> dict[int, ClassCalibration]:
        """How the result of each class is put together, and the IoU to expect; by class.

        Empty for models that have one way for all.
        """
        return self.model.calibrations(self._prepared)

    @torch.no_grad()
    def set_references(self, references: Sequence[Reference], normalisation: Normalisation) -> None:
        """Learn the classes from annotated frames; each frame is encoded once.

        The same references again cost nothing.

        Parameters
        ----------
        references : sequence of Reference
            Of any number of classes and frames.
        normalisation : Normalisation
            Of the stack that will be predicted, applied to the references too.

        Raises
        ------
        InputError
            If there is no reference, one has another number of channels than the stack, or two
            show different images as the same frame.
        """
        if not references:
            raise InputError("There is no annotation: mark a class on at least one frame.")
        check_images(references)
        known = annotations_digest(references), normalisation, self._reference_side
        if known == self._learned:
            return
        self._learned = None
        self._normalisation = normalisation
        images: dict[object, tuple[torch.Tensor, FrameFeatures]] = {}
        encoded = []
        part = self._reference_side if self.model.input_side else LARGEST_PART
        for reference in windowed(references, self._reference_side, part):
            key = image_key(reference)
            if key not in images:
                planes = self._planes(reference.image)
                images[key] = planes, self.encode(reference.image)
            image, features = images[key]
            mask = torch.from_numpy(reference.mask).to(self.device)
            ignored = (
                None
                if reference.ignored is None
                else torch.from_numpy(reference.ignored).to(self.device)
            )
            encoded.append(
                EncodedReference(
                    features,
                    mask,
                    reference.class_id,
                    reference.kind,
                    reference.frame,
                    ignored,
                    image,
                )
            )
        self._class_ids = class_ids_of(references)
        self._prepared = self.model.prepare(encoded)
        self._learned = known

    def predict(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        """Probability of each class in each pixel of a frame, in tiles where it is large.

        Parameters
        ----------
        frame : ndarray, shape (Y, X, C) or (Y, X)
            In the stack's own intensities, 16 x 16 pixels or larger.

        Returns
        -------
        ndarray, shape (K, Y, X), float32
            In the order of `class_ids`; the classes do not exclude each other.

        Raises
        ------
        InputError
            If no references are set, or the frame does not match them.
        """
        height, width = frame.shape[:2]
        if max(height, width) <= self.tile_size:
            return self.decode(self.encode(frame))

        def of_tile(rows: slice, columns: slice) -> FrameFeatures:
            return self.encode(frame[rows, columns])

        with torch.no_grad():
            logits = tiled_logits(
                self.model, self._prepared, of_tile, (height, width), self.tile_size
            )
        return _sigmoid(logits)

    def predict_stream(
        self, frames: Iterable[NDArray[Any]], *, probabilities: bool = True
    ) -> Generator[FramePrediction]:
        """Predict many frames; on a GPU faster than one by one.

        Parameters
        ----------
        frames : iterable of ndarray, shape (Y, X, C) or (Y, X)
            On a GPU read ahead, by another thread, which ends with the loop.
        probabilities : bool
            Whether to return them too.

        Yields
        ------
        FramePrediction
            In the order of the frames.

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
                    self._known_normalisation(),
                    self.class_ids,
                    self.device,
                    size,
                    fixed=self._batches.compiled,
                    probabilities=probabilities,
                )
                yield from run_pipeline(map(_checked, ahead), work)
                return
        for frame in ahead:
            found = predict_from_probabilities(self.predict(frame), self.class_ids)
            yield found if probabilities else replace(found, probabilities=None)

    @torch.no_grad()
    def encode(self, frame: NDArray[Any]) -> FrameFeatures:
        """The expensive half of `predict`; its result outlives a change of references."""
        if self.cache is None or self._normalisation is None:
            return self.model.encode(self._planes(frame)[None])
        key = frame_key(frame, self._normalisation)
        features = self.cache.get(key)
        if features is None:
            features = self.cache.put(key, self.model.encode(self._planes(frame)[None]))
        return features.to(self.device)

    def _planes(self, frame: NDArray[Any]) -> torch.Tensor:
        """A frame as models take it, shape (3, Y, X)."""
        planes = self._known_normalisation().apply(_checked(frame))
        return torch.from_numpy(planes).to(self.device)

    def _known_normalisation(self) -> Normalisation:
        if self._normalisation is None:
            raise InputError("No references are set: call set_references before predict.")
        return self._normalisation

    def decode(self, features: FrameFeatures) -> NDArray[np.float32]:
        """The cheap half of `predict`, of a frame that was encoded whole."""
        return _sigmoid(self._logits(features))

    @torch.no_grad()
    def _logits(self, features: FrameFeatures) -> NDArray[np.float32]:
        prompts = self.model.prompt(features, self._prepared)
        logits: NDArray[np.float32] = self.model.decode(features, prompts).float().cpu().numpy()
        return logits

    @property
    def _reference_side(self) -> int:
        """Longest side of references that are learned whole."""
        # A class has to look as large on a reference as in a tile. Others than resizing models see
        # it so anyway: they learn from as much as memory allows.
        return self.tile_size if self.model.input_side else max(self.tile_size, DEFAULT_TILE)


def _checked(frame: NDArray[Any]) -> NDArray[Any]:
    """A frame of shape (Y, X, C).

    Raises
    ------
    InputError
        If it is too small.
    """
    frame = frame[..., None] if frame.ndim == 2 else frame
    check_frame_size(frame.shape[:2])
    return frame


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities in the memory of the logits: those of a large frame fill a good part of it."""
    values = torch.from_numpy(logits)
    probabilities: NDArray[np.float32] = values.sigmoid_().numpy()
    return probabilities
