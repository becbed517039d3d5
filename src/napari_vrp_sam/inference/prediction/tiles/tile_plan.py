"""The plan of a large frame's tiles, and their prediction with context from the whole frame."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.inference.out_of_core.scratch import is_large
from napari_vrp_sam.inference.prediction.tiles.tiling import (
    ALIGNMENT,
    DEFAULT_TILE,
    OVERLAP,
    WIDE_OVERLAP,
    Span,
    TileProgress,
    add_tile,
    spans,
)
from napari_vrp_sam.models.base import FrameFeatures, GridPosition, Model

PIXELS = 4 * DEFAULT_TILE**2
"""Largest number of pixels of a frame, in evenly spread tiles, that give its context."""

STRIDE = 8
"""Pixels per cell of the image embedding."""

CELLS = (DEFAULT_TILE // STRIDE) ** 2
"""Largest number of cells that give the context: as many as the largest tile has."""

LARGE_FRAME_CELLS = CELLS // 8
"""The same for frames that are too large for the memory, which all cells would fill."""


@dataclass(frozen=True)
class Tile:
    """A tile of a large frame.

    Attributes
    ----------
    rows, columns : Span
        Where it lies and how much it counts, in pixels of the frame.
    place : GridPosition
        The same in cells of the image embedding.
    """

    rows: Span
    columns: Span
    place: GridPosition

    @property
    def pixels(self) -> tuple[slice, slice]:
        """Rows and columns of the frame."""
        return self.rows.pixels, self.columns.pixels


@dataclass(frozen=True)
class ContextTile:
    """A tile that contributes to the context of its frame.

    Attributes
    ----------
    pixels : tuple of slice
        Rows and columns of the frame.
    place : GridPosition
    cells : tuple of slice
        Rows and columns of the tile's cells that contribute, with steps.
    """

    pixels: tuple[slice, slice]
    place: GridPosition
    cells: tuple[slice, slice]


@dataclass(frozen=True)
class TilePlan:
    """The tiles of a large frame; the same for local runs, workers and evaluation.

    Attributes
    ----------
    size : tuple of int
        Height and width of the frame in pixels.
    context : tuple of ContextTile
        Tiles that contribute to the context; empty for a model that needs none.
    tiles : tuple of Tile
        Row by row.
    """

    size: tuple[int, int]
    context: tuple[ContextTile, ...]
    tiles: tuple[Tile, ...]

    def merge(self, logits: Iterable[NDArray[np.float32]]) -> Generator[TileProgress, None, Any]:
        """Blend the logits of the tiles, in their order, into those of the frame, (K, Y, X).

        Those of a large frame are a `ScratchArray`.

        The progress is yielded before each tile is taken.
        """
        parts = iter(logits)
        whole: Any = None
        total = len(self.context) + len(self.tiles)
        for number, tile in enumerate(self.tiles, start=1 + len(self.context)):
            yield TileProgress(number, total)
            whole = add_tile(whole, self.size, tile.rows, tile.columns, next(parts))
        assert whole is not None  # a frame has at least one tile
        return whole


def plan_tiles(size: tuple[int, int], tile_size: int, *, context: bool) -> TilePlan:
    """Plan the tiles of a large frame.

    Parameters
    ----------
    size : tuple of int
        Height and width of the frame in pixels.
    tile_size : int
        Longest side of a tile in pixels.
    context : bool
        Whether the model sees the whole frame; see `Model.uses_frame_context`. Its tiles overlap
        more, because only their surroundings tell such a model where they are.
    """
    overlap = WIDE_OVERLAP if context else OVERLAP
    rows, columns = (spans(length, tile_size, overlap) for length in size)
    tiles = tuple(
        Tile(r, c, _place(r.pixels, c.pixels, size)) for r, c in itertools.product(rows, columns)
    )
    return TilePlan(size, _context_tiles(rows, columns, size, tile_size) if context else (), tiles)


def tiled_logits(
    model: Model,
    prepared: Any,
    encode: Callable[[Iterable[tuple[slice, slice]]], Iterable[FrameFeatures]],
    size: tuple[int, int],
    tile_size: int,
) -> Generator[TileProgress, None, Any]:
    """Compute the logits of a large frame tile by tile.

    Parameters
    ----------
    model : Model
    prepared : object
        Return value of `Model.prepare`.
    encode : callable
        Maps rows and columns of tiles to the features of these tiles, in their order.
    size : tuple of int
        Height and width of the frame in pixels.
    tile_size : int

    Yields
    ------
    TileProgress
        Before each tile.

    Returns
    -------
    ndarray or ScratchArray, shape (K, Y, X), float32
    """
    plan = plan_tiles(size, tile_size, context=model.uses_frame_context)
    context = yield from _frame_context(model, prepared, encode, plan)
    features = encode(tile.pixels for tile in plan.tiles)
    return (
        yield from plan.merge(
            tile_logits(model, prepared, encoded_tile, context, tile.place)
            for tile, encoded_tile in zip(plan.tiles, features, strict=True)
        )
    )


def _frame_context(
    model: Model,
    prepared: Any,
    encode: Callable[[Iterable[tuple[slice, slice]]], Iterable[FrameFeatures]],
    plan: TilePlan,
) -> Generator[TileProgress, None, Any]:
    """Compute the context of a frame, or None for a model without; yield the progress."""
    if not plan.context:
        return None
    parts = []
    total = len(plan.context) + len(plan.tiles)
    encoded = iter(encode(tile.pixels for tile in plan.context))
    for number, tile in enumerate(plan.context, start=1):
        yield TileProgress(number, total)
        parts.append(model.tile_context(next(encoded), prepared, tile.place, tile.cells))
    return model.frame_context(parts, prepared)


def tile_logits(
    model: Model, prepared: Any, features: FrameFeatures, context: Any, place: GridPosition
) -> NDArray[np.float32]:
    """Compute the logits (K, Y, X) of a tile, with the context of its frame unless that is None."""
    if context is None:
        prompts = model.prompt(features, prepared)
    else:
        prompts = model.prompt_tile(features, prepared, (context, place))
    values: NDArray[np.float32] = model.decode(features, prompts).float().cpu().numpy()
    return values


def _context_tiles(
    rows: list[Span], columns: list[Span], size: tuple[int, int], tile_size: int
) -> tuple[ContextTile, ...]:
    """All tiles or, of many, some spread evenly over the frame."""
    tiles = list(
        itertools.product(
            zip(rows, _owned(rows), strict=True), zip(columns, _owned(columns), strict=True)
        )
    )
    most = max(1, PIXELS // tile_size**2)
    if len(tiles) > most:
        chosen = np.linspace(0, len(tiles), most, endpoint=False) + len(tiles) / (2 * most)
        tiles = [tiles[int(at)] for at in chosen]
    cells = sum((r.stop - r.start) * (c.stop - c.start) / STRIDE**2 for (_, r), (_, c) in tiles)
    limit = LARGE_FRAME_CELLS if is_large(size) else CELLS
    step = max(1, math.ceil(math.sqrt(cells / limit)))
    return tuple(
        ContextTile(
            (r.pixels, c.pixels),
            _place(r.pixels, c.pixels, size),
            (_cells(r, own_r, step), _cells(c, own_c, step)),
        )
        for (r, own_r), (c, own_c) in tiles
    )


def _owned(spans_: list[Span]) -> list[slice]:
    """Return the part of each tile that is nearest to its centre; together they cover the axis."""
    middles = [(a.stop + b.start) // 2 for a, b in itertools.pairwise(spans_)]
    edges = [spans_[0].start, *middles, _padded(spans_[-1].stop)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def _cells(span: Span, own: slice, step: int) -> slice:
    """Return the cells of a tile that it owns and that lie on every `step`-th row of the frame."""
    first = own.start // STRIDE
    first += -first % step
    start = first - span.start // STRIDE
    return slice(start, (own.stop - span.start) // STRIDE, step)


def _place(rows: slice, columns: slice, size: tuple[int, int]) -> GridPosition:
    """Return the position of a tile on the grid of its frame."""
    grid = (_padded(size[0]) // STRIDE, _padded(size[1]) // STRIDE)
    return GridPosition(rows.start // STRIDE, columns.start // STRIDE, grid)


def _padded(length: int) -> int:
    """Round up to whole cells of the coarsest feature map."""
    return -(-length // ALIGNMENT) * ALIGNMENT
