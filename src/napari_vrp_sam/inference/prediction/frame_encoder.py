"""Encoder of raw frames: normalisation, batches, and the cache of features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import check_frame_size
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.out_of_core.frame_view import FrameLike
from napari_vrp_sam.inference.prediction.caches.feature_cache import FeatureCache, frame_key
from napari_vrp_sam.inference.prediction.reference_crops import image_key
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures, Model


class FrameEncoder:
    """Encode raw frames with a model.

    Parameters
    ----------
    model : Model
    device : torch.device

    Attributes
    ----------
    cache : FeatureCache, optional
        Cache of frame features, if one is set.
    normalisation : Normalisation, optional
        Normalisation of the frames; set before the first frame.
    """

    def __init__(self, model: Model, device: torch.device) -> None:
        self._model, self._device = model, device
        self.cache: FeatureCache | None = None
        self.normalisation: Normalisation | None = None

    def known_normalisation(self) -> Normalisation:
        """Return the normalisation.

        Raises
        ------
        InputError
            If none is set.
        """
        if self.normalisation is None:
            raise InputError("No references are set: call set_references before predict.")
        return self.normalisation

    def planes(self, frame: NDArray[Any]) -> torch.Tensor:
        """Return a normalised frame of shape (3, Y, X) on the device."""
        planes = self.known_normalisation().apply(checked_frame(frame))
        return torch.from_numpy(planes).to(self._device)

    @torch.no_grad()
    def encode(self, frames: Sequence[NDArray[Any]], *, cached: bool = True) -> list[FrameFeatures]:
        """Return the features of frames of one shape; those in the cache are not computed again."""
        normalisation, cache = self.known_normalisation(), self.cache if cached else None
        how = self._model.encoding_key
        keys = [None if cache is None else frame_key(f, normalisation, how) for f in frames]
        found = [None if key is None or cache is None else cache.get(key) for key in keys]
        missing = [at for at, features in enumerate(found) if features is None]
        if missing:
            encoded = self._model.encode(torch.stack([self.planes(frames[at]) for at in missing]))
            for row, at in enumerate(missing):
                key, features = keys[at], encoded[row]
                found[at] = features if key is None or cache is None else cache.put(key, features)
        return [features.to(self._device) for features in found if features is not None]

    def encode_references(self, references: Sequence[Reference]) -> list[EncodedReference]:
        """Encode references, those on one image once, for `Model.prepare`."""
        images: dict[object, tuple[torch.Tensor, FrameFeatures]] = {}
        encoded = []
        for reference in references:
            key = image_key(reference)
            if key not in images:
                planes = self.planes(reference.image)
                features = self.encode([reference.image], cached=not reference.is_crop)[0]
                images[key] = planes, features
            image, features = images[key]
            mask, ignored, negative = (
                None if pixels is None else torch.from_numpy(pixels).to(self._device)
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
        return encoded


def in_memory(frame: FrameLike) -> NDArray[Any]:
    """Read the frame of a view; return a frame of shape (Y, X, C) that is large enough."""
    return checked_frame(np.asarray(frame))


def checked_frame(frame: NDArray[Any]) -> NDArray[Any]:
    """Return a frame of shape (Y, X, C) that is large enough.

    Raises
    ------
    InputError
        If it is too small.
    """
    frame = frame[..., None] if frame.ndim == 2 else frame
    check_frame_size(frame.shape[:2])
    return frame
