"""Compressed probabilities of a result, from which its labels are computed again."""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import labels_dtype
from napari_vrp_sam.inference.relabelling.levels import CompressedLevels
from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings, relabel_frame
from napari_vrp_sam.io.sessions.levels import StoredLevels
from napari_vrp_sam.plugin.layers.metadata import unwrap

# Not in the metadata of the layer, which a copy of the layer would share.
_kept: weakref.WeakKeyDictionary[Labels, KeptProbabilities] = weakref.WeakKeyDictionary()


class Relabelled(NamedTuple):
    """Labels of a frame by the settings before and by new ones, each of shape (Y, X)."""

    before: NDArray[Any]
    after: NDArray[Any]
    stored: bytes


class KeptProbabilities:
    """Probabilities of the frames of a result, and the pixels that the user has changed.

    Attributes
    ----------
    class_ids : tuple of int
        The K classes, ascending.
    frames : dict of int to CompressedLevels
        Levels of the segmented frames by index.

    Parameters
    ----------
    class_ids : sequence of int
    settings : RelabelSettings, optional
        Settings by which the run computed the labels.
    """

    def __init__(self, class_ids: Sequence[int], settings: RelabelSettings | None = None) -> None:
        self.class_ids = tuple(class_ids)
        self.frames: dict[int, CompressedLevels] = {}
        self._settings = settings or RelabelSettings()
        self._dtype = labels_dtype(class_ids)
        self._computed: dict[int, bytes] = {}
        self._changed: dict[int, bytes] = {}

    @classmethod
    def restore(cls, stored: StoredLevels) -> KeptProbabilities:
        """Return the probabilities that `store` has returned."""
        kept = cls(stored.class_ids, RelabelSettings.from_dict(stored.settings))
        kept.frames = {i: CompressedLevels(stored.shape, one) for i, one in stored.levels.items()}
        kept._computed, kept._changed = dict(stored.computed), dict(stored.changed)
        return kept

    def store(self) -> StoredLevels | None:
        """Return a copy for a session; None without frames."""
        frames = dict(self.frames)
        if not frames:
            return None
        return StoredLevels(
            self.class_ids,
            next(iter(frames.values())).shape,
            self._settings.as_dict(),
            {index: levels.data for index, levels in frames.items()},
            dict(self._computed),
            dict(self._changed),
        )

    @property
    def nbytes(self) -> int:
        """Size of the probabilities in memory in bytes."""
        return sum(levels.nbytes for levels in self.frames.values())

    def compute(self, index: int, settings: RelabelSettings) -> Relabelled:
        """Return the labels of a frame by new settings; changes nothing, for any thread."""
        levels = self.frames[index].levels()
        after = relabel_frame(levels, self.class_ids, settings)
        if index in self._computed:
            flat = np.frombuffer(zlib.decompress(self._computed[index]), self._dtype)
            before = flat.reshape(after.shape)
        else:
            before = relabel_frame(levels, self.class_ids, self._settings)
        return Relabelled(before, after, zlib.compress(after.tobytes(), 1))

    def merge(self, index: int, current: NDArray[Any], found: Relabelled) -> NDArray[Any]:
        """Return the new labels of a frame, in which pixels that the user has changed stay.

        Parameters
        ----------
        index : int
        current : ndarray, shape (Y, X)
            Labels in the layer. Pixels that differ from the labels that were computed before
            have been changed by the user, and are remembered.
        found : Relabelled
            Return value of `compute`.
        """
        changed = current != found.before
        if index in self._changed:
            bits = np.frombuffer(zlib.decompress(self._changed[index]), np.uint8)
            changed |= np.unpackbits(bits, count=changed.size).reshape(changed.shape).view(bool)
        if changed.any():
            self._changed[index] = zlib.compress(np.packbits(changed).tobytes(), 1)
        self._computed[index] = found.stored
        return np.where(changed, current, found.after)


def keep_probabilities(layer: Labels, kept: KeptProbabilities) -> None:
    """Keep probabilities as long as their result layer exists."""
    _kept[unwrap(layer)] = kept


def kept_probabilities(layer: Labels) -> KeptProbabilities | None:
    """Return the probabilities of a result; None if they are not kept, as in old sessions."""
    return _kept.get(unwrap(layer))
