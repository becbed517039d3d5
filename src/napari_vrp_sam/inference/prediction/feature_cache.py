"""Features of frames that were seen, so that a second run with other annotations encodes nothing.

In memory they are kept as they are: a run gives the same labels with or without them. On disk they
are rounded, and so are then those of the first run.
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
    from napari_vrp_sam.inference.prediction.disk_feature_cache import DiskFeatureCache

SHARE_OF_MEMORY = 0.25
"""Of the memory that is free when the cache is made."""


class FeatureCache:
    """Features of one model, in main memory up to a limit.

    A run through a stack that is larger than the limit would, with the usual rule (what was used
    longest ago goes first), find nothing the second time. So what the present run has used stays,
    and what does not fit beside it is not kept.

    Parameters
    ----------
    limit : int, optional
        Bytes to keep at most; a quarter of the free memory unless given.
    disk : DiskFeatureCache, optional
        Where features outlive this process.
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
        """A run begins: what it does not use may go."""
        self._round += 1
        if self._disk is not None:
            self._disk.start_round()

    def get(self, key: bytes) -> FrameFeatures | None:
        """Features that were put under a key, on the CPU."""
        entry = self._entries.get(key)
        if entry is None:
            features = None if self._disk is None else self._disk.get(key)
            if features is not None:
                self._keep(key, features)
            return features
        entry.round = self._round
        self._entries.move_to_end(key)
        return entry.features

    def put(self, key: bytes, features: FrameFeatures) -> FrameFeatures:
        """Keep features, if there is room.

        Returns
        -------
        FrameFeatures
            As `get` will give them, on the device where they are.
        """
        if self._disk is not None:
            features = self._disk.put(key, features)
        if self.limit > 0:  # else nothing need leave the GPU
            self._keep(key, features.to("cpu"))  # what rests takes no memory of a GPU
        return features

    def _keep(self, key: bytes, features: FrameFeatures) -> None:
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


def frame_key(frame: NDArray[Any], normalisation: Normalisation) -> bytes:
    """A key that frames share only if a model sees the same in them.

    Parameters
    ----------
    frame : ndarray, shape (Y, X, C)
    normalisation : Normalisation
    """
    return digest(frame, repr(astuple(normalisation)))


def digest(*parts: NDArray[Any] | str | None) -> bytes:
    """Hash of arrays (with their shapes and dtypes) and texts."""
    found = blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype.str}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).view(np.uint8).data)
        else:
            found.update(repr(part).encode())
    return found.digest()


def annotations_digest(references: Sequence[Reference]) -> bytes:
    """Equal for references that show the same."""
    return digest(
        *(
            part
            for r in references
            for part in (r.image, r.mask, r.ignored, repr((r.class_id, r.kind, r.frame)))
        )
    )


def _size(features: FrameFeatures) -> int:
    return sum(m.numel() * m.element_size() for m in (features.embedding, *features.semantic))
