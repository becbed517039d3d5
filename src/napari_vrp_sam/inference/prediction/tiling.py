"""Frames too large to be seen at once: tiles that overlap, and how their results become one.

Neighbouring tiles share a strip. In its middle the result passes gradually from one to the other;
what lies nearer to a tile's border, where its model sees no surroundings, does not count.
The weights of all tiles sum to 1 in every pixel, so that nothing has to be divided in the end and
one array of the frame's size is all the memory it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError

DEFAULT_TILE = 2048
"""Longest side in pixels that is seen at once."""

MIN_TILE = 256

OVERLAP = 256
"""Pixels that neighbouring tiles share, at least; in small tiles half of a tile."""

WIDE_OVERLAP = 512
"""The same for models whose only hold on a place are its surroundings; in small tiles half of one.
What `lite` sees in a tile is exact from 256 pixels inside."""

RISE = 64
"""Pixels in which the result passes over, at most half of what is shared."""

ALIGNMENT = 32
"""Tiles begin at multiples of it: there the cells of a convolutional model's grids lie as on the
whole frame."""


@dataclass(frozen=True)
class Span:
    """Where a tile lies along one axis, and how much it counts there.

    Attributes
    ----------
    start, stop : int
    weight : ndarray, shape (stop - start,), float32
        In 0..1.
    """

    start: int
    stop: int
    weight: NDArray[np.float32]

    @property
    def pixels(self) -> slice:
        """The tile's pixels of the frame."""
        return slice(self.start, self.stop)


def check_tile(tile: int | None) -> int:
    """The side of tiles, the default one unless given.

    Raises
    ------
    InputError
        If it is too small.
    """
    if tile is None:
        return DEFAULT_TILE
    if tile < MIN_TILE:
        raise InputError(
            f"Tiles of {tile} pixels are too small to see anything in its surroundings: use "
            f"{MIN_TILE} or more."
        )
    return tile


def spans(length: int, tile: int, overlap: int = OVERLAP) -> list[Span]:
    """Tiles along one axis, equally long as far as the alignment lets them.

    Parameters
    ----------
    length : int
        Of the axis in pixels.
    tile : int
        Side of a tile in pixels; shortened to a multiple of `ALIGNMENT`.
    overlap : int
        Pixels that neighbours share, at least; at most half of a tile.

    Returns
    -------
    list of Span
        In order; one that covers all, if that is no longer than a tile.
    """
    if length <= tile:
        return [Span(0, length, np.ones(length, np.float32))]
    tile -= tile % ALIGNMENT
    overlap = min(overlap, tile // 2 // ALIGNMENT * ALIGNMENT)
    starts = list(range(0, length - tile, tile - overlap))
    # The last one ends with the frame, and is moved back to be as large as the others.
    starts.append(-(-(length - tile) // ALIGNMENT) * ALIGNMENT)
    stops = [start + tile for start in starts[:-1]] + [length]
    weights = [np.ones(stop - start, np.float32) for start, stop in zip(starts, stops, strict=True)]
    for at in range(len(starts) - 1):
        shared = stops[at] - starts[at + 1]
        passed = _ramp(shared, min(shared // 2, RISE))
        weights[at][-shared:] *= 1 - passed
        weights[at + 1][:shared] *= passed
    return [Span(*span) for span in zip(starts, stops, weights, strict=True)]


def blend(
    size: tuple[int, int],
    tiles: Sequence[tuple[Span, Span]],
    parts: Iterable[NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Blend the logits of tiles into those of a frame.

    Parameters
    ----------
    size : tuple of int
        Height and width of the frame.
    tiles : sequence of (Span, Span)
        Rows and columns of each tile.
    parts : iterable of ndarray, each of shape (K, rows, columns)
        Logits of the tiles, in the same order.

    Returns
    -------
    ndarray, shape (K, Y, X), float32
    """
    whole: NDArray[np.float32] | None = None
    for (rows, columns), part in zip(tiles, parts, strict=True):
        if whole is None:
            whole = np.zeros((len(part), *size), np.float32)
        whole[:, rows.pixels, columns.pixels] += part * (rows.weight[:, None] * columns.weight)
    assert whole is not None  # no frame is without a pixel
    return whole


def _ramp(length: int, rise: int) -> NDArray[np.float32]:
    """0, then in the middle a straight rise of so many pixels, then 1."""
    at = np.arange(length, dtype=np.float32) + 0.5 - length / 2
    return np.asarray((at / max(rise, 1) + 0.5).clip(0, 1), np.float32)
