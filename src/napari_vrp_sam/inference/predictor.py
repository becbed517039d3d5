"""A model with references set: frame in, probability of each class out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.feature_cache import FeatureCache, digest, frame_key
from napari_vrp_sam.inference.frames import check_frame_size
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.overview import tiled_logits
from napari_vrp_sam.inference.tiling import DEFAULT_TILE, check_tile
from napari_vrp_sam.inference.windows import LARGEST_PART, image_key, windowed
from napari_vrp_sam.models.choice import Choice
from napari_vrp_sam.models.devices import resolve_device
from napari_vrp_sam.models.types import EncodedReference, FrameFeatures, Model


@runtime_checkable
class Movable(Protocol):
    """A model that can change its device; every module can."""

    def to(self, device: torch.device, /) -> Any:
        """Move the weights."""
        ...


@runtime_checkable
class Resizing(Protocol):
    """A model that resizes whatever it sees to a side of its own, as SAM does."""

    @property
    def side(self) -> int:
        """In pixels."""
        ...


@runtime_checkable
class Choosing(Protocol):
    """A model that decides for each class how its result is put together, and says so."""

    def choices(self, prepared: Any) -> dict[int, Choice]:
        """Choices by class, of what `Model.prepare` returned."""
        ...


class Predictor:
    """Segments frames by annotated references.

    Nothing is recorded for gradients. It is not torch's inference mode that sees to that: a model
    may fit a small classifier by gradient descent while it learns the references.

    Parameters
    ----------
    model : Model
        Moved to the device and put into evaluation mode.
    device : str
        "cpu", "cuda", "mps", or "auto" for the fastest one that is there.
    tile : int, optional
        Longest side of what is seen at once, in pixels; larger frames are segmented in tiles, and
        of larger references parts are learned.

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
        self, model: Model, *, device: str | torch.device = "auto", tile: int | None = None
    ) -> None:
        self.device = resolve_device(device)
        self.model = model
        self.tile = check_tile(tile)
        self.cache: FeatureCache | None = None
        if isinstance(model, Movable):
            model.to(self.device)
        if isinstance(model, nn.Module):
            model.eval()
        self._normalisation: Normalisation | None = None
        self._class_ids: tuple[int, ...] = ()
        self._prepared: Any = None
        self._learned: bytes | None = None

    @property
    def class_ids(self) -> tuple[int, ...]:
        """The K classes of the references, ascending."""
        return self._class_ids

    @property
    def prepared(self) -> Any:
        """What the model made of the references; see `Model.prepare`."""
        return self._prepared

    @property
    def choices(self) -> dict[int, Choice]:
        """How the result of each class is put together, and the IoU to expect; by class.

        Empty for models that have one way for all.
        """
        return self.model.choices(self._prepared) if isinstance(self.model, Choosing) else {}

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
            If there is no reference, or one has another number of channels than the stack.
        """
        if not references:
            raise InputError("There is no annotation: mark a class on at least one frame.")
        known = _digest(references, normalisation, self._reference_side)
        if known == self._learned:
            return
        self._learned = None
        self._normalisation = normalisation
        images: dict[object, tuple[torch.Tensor, FrameFeatures]] = {}
        encoded = []
        part = self._reference_side if isinstance(self.model, Resizing) else LARGEST_PART
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
        self._class_ids = tuple(sorted({reference.class_id for reference in references}))
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
        if max(height, width) <= self.tile:
            return self.decode(self.encode(frame))

        def of_tile(rows: slice, columns: slice) -> FrameFeatures:
            return self.encode(frame[rows, columns])

        with torch.no_grad():
            logits = tiled_logits(self.model, self._prepared, of_tile, (height, width), self.tile)
        return _sigmoid(logits)

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
        if self._normalisation is None:
            raise InputError("No references are set: call set_references before predict.")
        frame = frame[..., None] if frame.ndim == 2 else frame
        check_frame_size(frame.shape[:2])
        return torch.from_numpy(self._normalisation.apply(frame)).to(self.device)

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
        return self.tile if isinstance(self.model, Resizing) else max(self.tile, DEFAULT_TILE)


def labels_from_probabilities(
    probabilities: NDArray[np.floating], class_ids: Sequence[int]
) -> NDArray[Any]:
    """The class with the highest probability over 0.5 in each pixel, else 0.

    Parameters
    ----------
    probabilities : ndarray, shape (K, Y, X)
    class_ids : sequence of int
        Label values of the K classes.

    Returns
    -------
    ndarray, shape (Y, X)
        In the smallest unsigned dtype that holds all class values.
    """
    labels = np.zeros(probabilities.shape[1:], dtype=np.min_scalar_type(max(class_ids)))
    highest = np.full(labels.shape, 0.5, dtype=probabilities.dtype)
    # Class by class, as `argmax` would need eight bytes for each pixel of a large frame.
    for class_id, probability in zip(class_ids, probabilities, strict=True):
        labels[probability > highest] = class_id
        np.maximum(highest, probability, out=highest)
    return labels


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities in the memory of the logits: those of a large frame fill a good part of it."""
    values = torch.from_numpy(logits)
    probabilities: NDArray[np.float32] = values.sigmoid_().numpy()
    return probabilities


def _digest(references: Sequence[Reference], normalisation: Normalisation, largest: int) -> bytes:
    """Equal for references that teach the same."""
    parts: list[NDArray[Any] | str | None] = [repr((normalisation, largest))]
    for r in references:
        parts += [r.image, r.mask, r.ignored, repr((r.class_id, r.kind, r.frame))]
    return digest(*parts)
