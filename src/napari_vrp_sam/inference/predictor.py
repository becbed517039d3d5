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

    Attributes
    ----------
    cache : FeatureCache, optional
        Keeps the features of frames, if somebody sets it.

    Raises
    ------
    InputError
        If there is no such device.
    """

    def __init__(self, model: Model, *, device: str | torch.device = "auto") -> None:
        self.device = resolve_device(device)
        self.model = model
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
        known = _digest(references, normalisation)
        if known == self._learned:
            return
        self._learned = None
        self._normalisation = normalisation
        images: dict[object, tuple[torch.Tensor, FrameFeatures]] = {}
        encoded = []
        for reference in references:
            key = _image_key(reference)
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
        """Probability of each class in each pixel of a frame.

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
        return self.decode(self.encode(frame))

    @torch.no_grad()
    def encode(self, frame: NDArray[Any]) -> FrameFeatures:
        """The expensive half of `predict`; its result outlives a change of references."""
        if self.cache is None or self._normalisation is None:
            return self.model.encode(self._planes(frame)[None])
        key = frame_key(frame, self._normalisation)
        features = self.cache.get(key)
        if features is None:
            features = self.model.encode(self._planes(frame)[None])
            self.cache.put(key, features)
        return features.to(self.device)

    def _planes(self, frame: NDArray[Any]) -> torch.Tensor:
        """A frame as models take it, shape (3, Y, X)."""
        if self._normalisation is None:
            raise InputError("No references are set: call set_references before predict.")
        frame = frame[..., None] if frame.ndim == 2 else frame
        check_frame_size(frame.shape[:2])
        return torch.from_numpy(self._normalisation.apply(frame)).to(self.device)

    @torch.no_grad()
    def decode(self, features: FrameFeatures) -> NDArray[np.float32]:
        """The cheap half of `predict`."""
        prompts = self.model.prompt(features, self._prepared)
        logits = self.model.decode(features, prompts)
        probabilities: NDArray[np.float32] = logits.float().sigmoid().cpu().numpy()
        return probabilities


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
    values = np.asarray(class_ids, dtype=np.min_scalar_type(max(class_ids)))
    best = values[probabilities.argmax(axis=0)]
    return np.where(probabilities.max(axis=0) > 0.5, best, 0).astype(values.dtype)


def _digest(references: Sequence[Reference], normalisation: Normalisation) -> bytes:
    """Equal for references that teach the same."""
    parts: list[NDArray[Any] | str | None] = [repr(normalisation)]
    for r in references:
        parts += [r.image, r.mask, r.ignored, repr((r.class_id, r.kind, r.frame))]
    return digest(*parts)


def _image_key(reference: Reference) -> object:
    """Equal for references on one image, be it read from the stack once or for each of them."""
    if reference.frame is not None:
        return reference.frame
    image = reference.image
    return image.ctypes.data, image.shape, image.strides
