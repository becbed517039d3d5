"""A cache of frame features, so that a second run with other annotations encodes nothing.

Features in memory are exact: a run gives the same labels with and without the cache. Features on
disk are rounded, and the first run uses the rounded ones too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.models.base import FrameFeatures

if TYPE_CHECKING:
    from napari_vrp_sam.inference.prediction.caches.disk_feature_cache import DiskFeatureCache

SHARE_OF_MEMORY = 0.25
"""Share of the free memory to use, measured when the cache is created."""


class FeatureCache:
    """Features of one model, in main memory up to a limit.

    With the usual rule (least recently used first out), a second run through a stack larger than
    the limit would find nothing. So features that the current run has used are not evicted, and
    features that do not fit beside them are not stored.

    Parameters
    ----------
    limit : int, optional
        Largest size in bytes; default: a quarter of the free memory.
    disk : DiskFeatureCache, optional
        Features on disk, which outlive this process.
    """

    def __init__(self, limit: int | None = None, disk: DiskFeatureCache | None = None) -> None:
        free = psutil.virtual_memory().available
        self.limit = int(SHARE_OF_MEMORY * free) if limit is None else limit
        self.size = 0
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._round = 0
        self._disk = disk

    def __len__(self) -> int:
        return len(self._entries)

    def start_round(self) -> None:
        """Start a run; features that it does not use may be evicted."""
        self._round += 1
        if self._disk is not None:
            self._disk.start_round()

    def get(self, key: bytes) -> FrameFeatures | None:
        """Return the features stored under a key, on the CPU."""
        entry = self._entries.get(key)
        if entry is None:
            features = None if self._disk is None else self._disk.get(key)
            if features is not None:
                self._store(key, features)
            return features
        entry.round = self._round
        self._entries.move_to_end(key)
        return entry.features

    def put(self, key: bytes, features: FrameFeatures) -> FrameFeatures:
        """Store features, if there is room.

        Returns
        -------
        FrameFeatures
            As `get` will return them, on their own device.
        """
        if self._disk is not None:
            features = self._disk.put(key, features)
        if self.limit > 0:  # otherwise nothing has to leave the GPU
            self._store(key, features.to("cpu"))  # cached features take no GPU memory
        return features

    def _store(self, key: bytes, features: FrameFeatures) -> None:
        size = _size(features)
        while self.size + size > self.limit:
            oldest = next(iter(self._entries.values()), None)
            if oldest is None or oldest.round == self._round:
                return
            self.size -= self._entries.popitem(last=False)[1].size
        self._entries[key] = _Entry(features, size, self._round)
        self.size += size


@dataclass
class _Entry:
    features: FrameFeatures
    size: int
    round: int


def frame_key(frame: NDArray[Any], normalisation: Normalisation, encoding: str = "") -> bytes:
    """Return a key that is equal only for frames that look the same to a model.

    Parameters
    ----------
    frame : ndarray, shape (Y, X, C)
    normalisation : Normalisation
    encoding : str
        See `Model.encoding_key`.
    """
    return digest(frame, repr(astuple(normalisation)) + encoding)


def digest(*parts: NDArray[Any] | str | None) -> bytes:
    """Return a hash of arrays (with their shapes and dtypes) and texts."""
    found = blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype.str}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).view(np.uint8).data)
        else:
            found.update(repr(part).encode())
    return found.digest()


def annotations_digest(references: Sequence[Reference]) -> bytes:
    """Return a digest that is equal for equal references, in any order."""
    return digest(*(part for r in ordered(references) for part in _parts(r)))


def ordered(references: Sequence[Reference]) -> list[Reference]:
    """Return references by frame and class, so that models learn the same from any order."""
    keys = [(r.frame is None, r.frame or 0, r.class_id) for r in references]
    unique = len(set(keys)) == len(keys)  # else their contents decide
    complete = [
        (*key, b"" if unique else digest(*_parts(r)))
        for key, r in zip(keys, references, strict=True)
    ]
    return [references[at] for at in sorted(range(len(references)), key=complete.__getitem__)]


def _parts(reference: Reference) -> tuple[NDArray[Any] | str | None, ...]:
    """Return all that a reference consists of, for a digest."""
    what = repr((reference.class_id, reference.kind, reference.frame))
    return reference.image, reference.mask, reference.ignored, reference.negative, what


def _size(features: FrameFeatures) -> int:
    return sum(m.numel() * m.element_size() for m in (features.embedding, *features.semantic))
