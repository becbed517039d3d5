"""Operations on slices of label images that contours need."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MARGIN = 2
"""Cells around the labels that a contour, its casing and their neighbours take."""


def labelled_part(labels: NDArray[Any], cell: int) -> tuple[slice, slice] | None:
    """Return the part of a slice outside of which nothing is drawn; None without labels.

    Most annotations cover a small part of a large frame.

    Parameters
    ----------
    labels : ndarray, shape (Y, X)
    cell : int
        Height and width of the cells that contours consist of. The part starts at a multiple.
    """
    rows = np.flatnonzero(labels.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(labels[rows[0] : rows[-1] + 1].any(axis=0))
    parts = []
    for found, size in zip((rows, columns), labels.shape, strict=True):
        start = max(found[0] // cell - MARGIN, 0) * cell
        stop = min((found[-1] // cell + 1 + MARGIN) * cell, size)
        parts.append(slice(int(start), int(stop)))
    return parts[0], parts[1]


def max_pool(labels: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the highest label of each square of `size` pixels; those at the end may be smaller."""
    if size == 1:
        return labels
    rows = np.maximum.reduceat(labels, np.arange(0, labels.shape[0], size), axis=0)
    return np.maximum.reduceat(rows, np.arange(0, labels.shape[1], size), axis=1)


def oblique_stripes(
    shape: tuple[int, ...], origin: tuple[int, int], width: int, slope: int, period: int
) -> NDArray[np.bool_]:
    """Return oblique stripes that are continued from block to block."""
    rows, columns = (
        (np.arange(size) + start // width) % period
        for size, start in zip(shape, origin, strict=True)
    )
    phase = rows.astype(np.uint8)[:, None] + (slope * columns).astype(np.uint8)
    return phase % period >= period // 2
