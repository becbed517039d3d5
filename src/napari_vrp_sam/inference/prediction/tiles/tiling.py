"""Overlapping tiles of large frames, and the blending of their results.

Neighbouring tiles share a strip. In its middle the result passes gradually from one tile to the
other; pixels near the border of a tile, where the model lacks context, are ignored. The weights of
all tiles sum to 1 in every pixel, so that no division is needed and one array of the frame's size
is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.out_of_core.scratch import zeros

DEFAULT_TILE = 2048
"""Default tile size in pixels; frames up to this size are not tiled."""

LARGE_FRAME_TILE = 576
"""Default tile size for frames that do not fit into memory, because larger tiles need more of it
than all other steps."""

MIN_TILE = 256

OVERLAP = 256
"""Smallest overlap of neighbouring tiles in pixels; half a tile for small tiles."""

WIDE_OVERLAP = 512
"""Overlap for models that see the whole frame; the features of `lite` in a tile are exact from 256
pixels inside."""

RISE = 64
"""Width in pixels of the transition between tiles, half of the overlap of the smallest ones."""

ALIGNMENT = 32
"""Tiles start at multiples of this many pixels, so that the grid cells of a convolutional model lie
as on the whole frame."""


@dataclass(frozen=True)
class Span:
    """Position of a tile along one axis, and its weight.

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
        """Pixels of the frame that the tile covers."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class TileProgress:
    """A tile that is about to be encoded: its number, from 1, and that of all tiles of its frame.

    Tiles that are encoded once more for the context of their frame count again.
    """

    number: int
    total: int


def check_tile(tile: int | None) -> int:
    """Return the tile size, or the default.

    Raises
    ------
    InputError
        If the tiles are too small.
    """
    if tile is None:
        return DEFAULT_TILE
    if tile < MIN_TILE:
        raise InputError(
            f"Tiles of {tile} pixels are too small to show objects with their context: use "
            f"{MIN_TILE} or more."
        )
    return tile


def spans(length: int, tile: int, overlap: int = OVERLAP) -> list[Span]:
    """Place tiles along one axis, of equal length as far as the alignment permits.

    Parameters
    ----------
    length : int
        Length of the axis in pixels.
    tile : int
        Side of a tile in pixels; rounded down to a multiple of `ALIGNMENT`.
    overlap : int
        Smallest overlap of neighbours in pixels, limited to half a tile.

    Returns
    -------
    list of Span
        In order; a single span if the axis is not longer than a tile.
    """
    if length <= tile:
        return [Span(0, length, np.ones(length, np.float32))]
    tile -= tile % ALIGNMENT
    overlap = min(overlap, tile // 2 // ALIGNMENT * ALIGNMENT)
    starts = list(range(0, length - tile, tile - overlap))
    # The last tile ends with the frame, and starts earlier to be as large as the others.
    starts.append(-(-(length - tile) // ALIGNMENT) * ALIGNMENT)
    stops = [start + tile for start in starts[:-1]] + [length]
    weights = [np.ones(stop - start, np.float32) for start, stop in zip(starts, stops, strict=True)]
    for at in range(len(starts) - 1):
        shared = stops[at] - starts[at + 1]
        passed = _ramp(shared)
        weights[at][-shared:] *= 1 - passed
        weights[at + 1][:shared] *= passed
    return [Span(*span) for span in zip(starts, stops, weights, strict=True)]


def add_tile(
    whole: Any,
    size: tuple[int, int],
    rows: Span,
    columns: Span,
    part: NDArray[np.float32],
) -> Any:
    """Add the weighted logits of a tile, (K, rows, columns), to those of its frame in place.

    The first tile, with None for the frame, creates the array of the frame, in a temporary file if
    it is large.
    """
    if whole is None:
        whole = zeros((len(part), *size), np.float32)
    whole[:, rows.pixels, columns.pixels] += part * (rows.weight[:, None] * columns.weight)
    return whole


def _ramp(length: int) -> NDArray[np.float32]:
    """Return weights that rise linearly from 0 to 1 over `RISE` pixels in the middle."""
    at = np.arange(length, dtype=np.float32) + 0.5 - length / 2
    return np.asarray((at / RISE + 0.5).clip(0, 1), np.float32)
