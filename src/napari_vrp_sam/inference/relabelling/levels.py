"""Probabilities in 256 levels, compressed: a small fraction of the memory of floats."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.inference.out_of_core.scratch import in_rows

LEVELS = 256


def quantise(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return probabilities as levels from 0 to 255.

    The decision between classes at the threshold 0.5 is the same for levels and for
    probabilities: level 128 begins just above 0.5, and of two classes with nearly the same
    probability the higher one has the higher level.

    Parameters
    ----------
    probabilities : ndarray, shape (K, Y, X), float32

    Returns
    -------
    ndarray, shape (K, Y, X), uint8
        Level n stands for probabilities above n / 256 and up to (n + 1) / 256.

    Examples
    --------
    >>> quantise(np.array([0, 0.5, 0.501, 1], np.float32).reshape(1, 1, 4)).tolist()
    [[[0, 127, 128, 255]]]
    """
    scaled = np.ceil(probabilities * LEVELS)
    scaled -= 1
    levels = np.clip(scaled, 0, LEVELS - 1, out=scaled).astype(np.uint8)
    tied = np.zeros(probabilities.shape[1:], bool)
    for one, other in combinations(range(len(levels)), 2):
        tied |= (levels[one] == levels[other]) & (levels[one] > 0)
    if tied.any():
        levels[:, tied] = _separated(probabilities[:, tied], levels[:, tied])
    return levels


def quantise_frame(probabilities: Any) -> Any:
    """Return `quantise` of a frame; the levels of a large one are a `ScratchArray`, too."""
    return in_rows(quantise, probabilities, probabilities.shape, np.uint8)


def dequantise(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the probability in the middle of each level, and 0 for level 0.

    `quantise` gives the same levels again.
    """
    middle = (levels + np.float32(0.5)) / np.float32(LEVELS)
    middle[levels == 0] = 0
    return middle


def as_levels(frame: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return levels of a frame, shape (K, Y, X), that may be probabilities or levels already."""
    return quantise(frame.astype(np.float32)) if frame.dtype.kind == "f" else frame.astype(np.uint8)


def threshold_level(threshold: float) -> int:
    """Return the highest level that is not above a threshold.

    Examples
    --------
    >>> threshold_level(0.5)
    127
    """
    return min(max(round(threshold * LEVELS), 1), LEVELS - 1) - 1


@dataclass(frozen=True, eq=False)
class CompressedLevels:
    """Levels of one frame, compressed without loss.

    Attributes
    ----------
    shape : tuple of int
        (K, Y, X).
    data : bytes
    """

    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, levels: NDArray[np.uint8]) -> CompressedLevels:
        """Compress the levels of a frame, shape (K, Y, X)."""
        # Neighbouring pixels differ little, so differences need few bits; measured: a third of the
        # pixels in bytes, at about 1 % of the time of `lite` on a CPU.
        differences = levels.copy()
        differences[..., 1:] -= levels[..., :-1]
        differences[:, 1:] -= differences[:, :-1].copy()
        stream = zlib.compressobj(1, strategy=zlib.Z_RLE)
        return cls(levels.shape, stream.compress(differences.tobytes()) + stream.flush())

    def levels(self) -> NDArray[np.uint8]:
        """Return the levels, shape (K, Y, X)."""
        differences = np.frombuffer(zlib.decompress(self.data), np.uint8).reshape(self.shape)
        return differences.cumsum(-2, np.uint8).cumsum(-1, np.uint8)

    @property
    def nbytes(self) -> int:
        """Size in memory in bytes."""
        return len(self.data)


def _separated(probabilities: NDArray[np.float32], levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lower the levels of pixels, shape (K, N), where a class has that of a more probable one."""
    order = np.argsort(-probabilities, axis=0, kind="stable")
    sorted_values = np.take_along_axis(probabilities, order, 0)
    descending = np.take_along_axis(levels, order, 0).astype(np.int16)
    for at in range(1, len(order)):
        lower = sorted_values[at] < sorted_values[at - 1]
        descending[at] = np.minimum(descending[at], descending[at - 1] - lower)
    separated = np.empty_like(levels)
    np.put_along_axis(separated, order, descending.clip(0).astype(np.uint8), 0)
    return separated
