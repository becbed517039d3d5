"""Splitting of touching objects at their necks.

The distance to the border has one peak for each bulge of a region. Regions around the peaks
(watershed) are merged at wide necks, in the order of a hierarchical watershed by dynamics: a
smaller split strength gives the same cuts or fewer, never others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PIXEL_STEPS = 2.0
"""Pixels added to each width, so that the pixel steps of outlines are not mistaken for necks."""

BLUR = 0.05
"""Smoothing of the distance, as a share of the largest distance."""

PIECE_SHARE = 0.2
"""Area of the smallest piece that is split off, as a share of the typical object."""

FULL_SHARE = 0.5
"""Area of a piece, as a share of the typical object, to which `widest_cut` applies; the logarithm
of the limit is inversely proportional to the area, up to that of the typical object."""

CURVE = 3.5
"""Exponent that puts the best width of the training datasets at half of the split strength."""


def widest_cut(split_strength: float) -> float:
    """Return the relative width of the widest neck at which objects are split.

    The width is relative to the thinner of the two sides.

    Examples
    --------
    >>> [round(widest_cut(strength), 2) for strength in (0.0, 0.5, 1.0)]
    [0.0, 0.91, 1.0]
    """
    return float(1 - (1 - split_strength) ** CURVE)


def split_region(
    region: NDArray[np.bool_], *, split_strength: float, typical_area: float | None = None
) -> NDArray[np.int32]:
    """Split a connected region at its necks.

    Parameters
    ----------
    region : ndarray of bool, shape (Y, X)
    split_strength : float
        From 0 (one piece) to 1 (split at every neck).
    typical_area : float, optional
        Area of the typical object in pixels: pieces of this area are split off more readily than
        smaller ones, and those below a fifth of it never.

    Returns
    -------
    ndarray of int32, shape (Y, X)
        Pieces, numbered from 1; 0 outside of the region.
    """
    from scipy import ndimage
    from skimage.measure import label
    from skimage.morphology import local_maxima
    from skimage.segmentation import relabel_sequential, watershed

    whole = region.astype(np.int32)
    if split_strength <= 0:
        return whole
    padded = np.pad(region, 1)
    distance = ndimage.distance_transform_edt(padded)
    distance = ndimage.gaussian_filter(distance, BLUR * distance.max())
    distance = np.where(padded, distance, 0)
    peaks = label(local_maxima(distance) & padded, connectivity=2)
    if peaks.max() <= 1:
        return whole
    bulges = watershed(-distance, peaks, mask=padded, connectivity=2)[1:-1, 1:-1]
    groups = _merged(
        bulges, distance[1:-1, 1:-1], widest=widest_cut(split_strength), typical_area=typical_area
    )
    pieces: NDArray[np.int32] = relabel_sequential(groups[bulges])[0].astype(np.int32)
    return pieces


def _merged(
    bulges: NDArray[np.int32],
    distance: NDArray[np.float64],
    *,
    widest: float,
    typical_area: float | None,
) -> NDArray[np.int64]:
    """Return the group of each bulge; bulges of a group are joined by wide necks."""
    from scipy import ndimage

    count = int(bulges.max())
    ids = np.arange(count + 1)
    peak = ndimage.maximum(distance, bulges, ids)
    area = np.bincount(bulges.ravel(), minlength=count + 1).astype(float)
    # Two forests: `basin` joins bulges at every neck, `group` only at the wide ones.
    basin, group = ids.copy(), ids.copy()
    for first, second, width in zip(*_necks(bulges, distance), strict=True):
        one, other = sorted(
            (_root(basin, first), _root(basin, second)), key=lambda bulge: float(peak[bulge])
        )
        if one == other:
            continue
        ratio = (width + PIXEL_STEPS) / (peak[one] + PIXEL_STEPS)
        share = FULL_SHARE if typical_area is None else area[one] / typical_area
        limit = widest ** (FULL_SHARE / min(share, 1.0))
        if ratio >= limit or share < PIECE_SHARE:
            wide = sorted((_root(group, first), _root(group, second)))
            group[wide[1]] = wide[0]
        basin[one] = other
        area[other] += area[one]
    return np.array([_root(group, bulge) for bulge in range(count + 1)])


def _necks(
    bulges: NDArray[np.int32], distance: NDArray[np.float64]
) -> tuple[list[int], list[int], list[float]]:
    """Return pairs of neighbouring bulges and the width of their neck, the widest first."""
    height, width = bulges.shape
    found: list[NDArray[np.float64]] = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = (slice(0, height - down), slice(max(0, -right), width - max(0, right)))
        there = (slice(down, height), slice(max(0, right), width + min(0, right)))
        one, other = bulges[here], bulges[there]
        border = (one != other) & (one > 0) & (other > 0)
        pairs = np.sort(np.stack([one[border], other[border]]), axis=0)
        found.append(np.vstack([pairs, np.minimum(distance[here], distance[there])[border]]))
    first, second, widths = np.concatenate(found, axis=1)
    order = np.lexsort((second, first, -widths))
    return (
        first[order].astype(int).tolist(),
        second[order].astype(int).tolist(),
        widths[order].tolist(),
    )


def _root(parents: NDArray[np.int64], node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = int(parents[node])
    return node
