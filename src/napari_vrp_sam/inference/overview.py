"""Large frames in tiles, by models that gather what each tile needs from the whole frame."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.inference.tiling import (
    ALIGNMENT,
    DEFAULT_TILE,
    OVERLAP,
    WIDE_OVERLAP,
    Span,
    blend,
    spans,
)
from napari_vrp_sam.models.tile_tokens import Place
from napari_vrp_sam.models.types import FrameFeatures, Model

PIXELS = 4 * DEFAULT_TILE**2
"""Of a frame that are looked at, in tiles spread evenly; more would show the same again."""

STRIDE = 8
"""Pixels a cell."""

CELLS = (DEFAULT_TILE // STRIDE) ** 2
"""That are attended to, evenly chosen: as many as the largest tile has."""


@runtime_checkable
class Surveying(Protocol):
    """A model that attends to the whole frame, but to nothing else than to cells of it."""

    def glimpse(
        self, features: FrameFeatures, prepared: Any, place: Place, cells: tuple[slice, slice]
    ) -> Any:
        """Look at some cells of a tile."""
        ...

    def overview(self, glimpses: Any, prepared: Any) -> Any:
        """Gather what was seen, for `Prompts.whole`."""
        ...


def tiled_logits(
    model: Model,
    prepared: Any,
    encode: Callable[[slice, slice], FrameFeatures],
    size: tuple[int, int],
    tile: int,
) -> NDArray[np.float32]:
    """Logits of a large frame, tile by tile.

    Parameters
    ----------
    model : Model
    prepared : object
        What it made of the references.
    encode : callable
        From rows and columns of the frame to their features.
    size : tuple of int
        Height and width of the frame.
    tile : int
        Side of tiles in pixels.

    Returns
    -------
    ndarray, shape (K, Y, X), float32
    """
    survey = None
    if isinstance(model, Surveying):
        glimpses = [
            model.glimpse(encode(look.rows, look.columns), prepared, look.place, look.cells)
            for look in looks(size, tile)
        ]
        survey = model.overview(glimpses, prepared)

    def logits(rows: slice, columns: slice) -> NDArray[np.float32]:
        features = encode(rows, columns)
        return logits_of_tile(model, prepared, features, survey, place(rows, columns, size))

    return blend(size, tile, logits, OVERLAP if survey is None else WIDE_OVERLAP)


def logits_of_tile(
    model: Model, prepared: Any, features: FrameFeatures, survey: Any, where: Place
) -> NDArray[np.float32]:
    """Logits (K, Y, X) of a tile; with what was gathered of its frame, unless that is None."""
    prompts = model.prompt(features, prepared)
    if survey is not None:
        prompts = replace(prompts, whole=(survey, where))
    values: NDArray[np.float32] = model.decode(features, prompts).float().cpu().numpy()
    return values


@dataclass(frozen=True)
class Look:
    """Which cells of a frame are looked at in a tile of it.

    Attributes
    ----------
    rows, columns : slice
        The tile, in pixels of the frame.
    place : Place
    cells : tuple of slice
        Rows and columns of the tile's cells, with steps.
    """

    rows: slice
    columns: slice
    place: Place
    cells: tuple[slice, slice]


def looks(size: tuple[int, int], tile: int) -> list[Look]:
    """How a frame is looked at: in all tiles, or, of many, in some spread evenly.

    Parameters are those of `tiled_logits`.
    """
    rows, columns = (spans(length, tile, WIDE_OVERLAP) for length in size)
    tiles = list(
        itertools.product(
            zip(rows, _owned(rows), strict=True), zip(columns, _owned(columns), strict=True)
        )
    )
    most = max(1, PIXELS // tile**2)
    if len(tiles) > most:
        chosen = np.linspace(0, len(tiles), most, endpoint=False) + len(tiles) / (2 * most)
        tiles = [tiles[int(at)] for at in chosen]
    cells = sum((r.stop - r.start) * (c.stop - c.start) / STRIDE**2 for (_, r), (_, c) in tiles)
    step = max(1, math.ceil(math.sqrt(cells / CELLS)))
    return [
        Look(
            r.pixels,
            c.pixels,
            place(r.pixels, c.pixels, size),
            (_cells(r, own_r, step), _cells(c, own_c, step)),
        )
        for (r, own_r), (c, own_c) in tiles
    ]


def _owned(spans_: list[Span]) -> list[slice]:
    """The part of each tile that no other one shows better; together they are the whole axis."""
    middles = [(a.stop + b.start) // 2 for a, b in itertools.pairwise(spans_)]
    edges = [spans_[0].start, *middles, _padded(spans_[-1].stop)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def _cells(span: Span, own: slice, step: int) -> slice:
    """Cells of a tile that are its own and lie on every so-manieth row of the frame."""
    first = own.start // STRIDE
    first += -first % step
    start = first - span.start // STRIDE
    return slice(start, (own.stop - span.start) // STRIDE, step)


def place(rows: slice, columns: slice, size: tuple[int, int]) -> Place:
    """Where a tile lies on a frame of that size."""
    grid = (_padded(size[0]) // STRIDE, _padded(size[1]) // STRIDE)
    return Place(rows.start // STRIDE, columns.start // STRIDE, grid)


def _padded(length: int) -> int:
    """Frames are padded to whole cells of the coarsest map."""
    return -(-length // ALIGNMENT) * ALIGNMENT
