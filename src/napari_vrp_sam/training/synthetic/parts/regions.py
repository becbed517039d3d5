"""Maps that assign one of n materials to each pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_vrp_sam.training.synthetic.parts import fields
from napari_vrp_sam.training.synthetic.parts.draws import Draws, FloatArray

REGIONS = ("voronoi", "islands", "blend", "bands", "plots")
Index = NDArray[np.int32]


def voronoi(
    draw: Draws, shape: fields.Shape, spacing: float, warp: float, coarse: int = 2
) -> tuple[Index, FloatArray]:
    """Compute Voronoi cells of random sites, with borders warped by about `warp` pixels.

    Parameters
    ----------
    draw : Draws
    shape : tuple of int
    spacing : float
        Mean distance between sites in pixels.
    warp : float
    coarse : int, default: 2
        Step of the grid on which the nearest sites are searched first.

    Returns
    -------
    index : ndarray, shape (H, W)
        Index of the nearest site.
    border : ndarray, shape (H, W)
        Distance to the second nearest site minus distance to the nearest one: about twice the
        distance to the border in pixels.
    """
    margin = spacing
    counts = [int(np.ceil((size + 2 * margin) / spacing)) for size in shape]
    lattice = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), axis=-1)
    sites = lattice.reshape(-1, 2).astype(np.float32) * np.float32(spacing) - np.float32(margin)
    sites = sites + np.float32(0.26 * spacing) * draw.normal(*sites.shape)
    rows, columns = fields.warped_grid(draw, shape, warp, max(1.5 * spacing, 12.0))
    queries = np.stack([rows, columns], axis=-1)
    # Distances are smooth, so that a coarse grid avoids most of the search.
    near = queries[::coarse, ::coarse]
    distances, nearest = cKDTree(sites).query(near.reshape(-1, 2), k=2)
    border = (distances[:, 1] - distances[:, 0]).reshape(near.shape[:2]).astype(np.float32)
    index = nearest[:, 0].reshape(near.shape[:2]).astype(np.int32)
    if coarse > 1:
        # Only pixels near a border need the exact search.
        border = fields.upsample(border, coarse)[: shape[0], : shape[1]]
        index = index.repeat(coarse, 0).repeat(coarse, 1)[: shape[0], : shape[1]]
        near_border = border < 3 * coarse + 1
        exact, which = cKDTree(sites).query(queries[near_border], k=2)
        index[near_border] = which[:, 0]
        border[near_border] = exact[:, 1] - exact[:, 0]
    return index, border


def region_map(
    kind: str, draw: Draws, shape: fields.Shape, count: int, scale: float, angle: float
) -> Index:
    """Draw a map of shape (H, W) with values 0..count-1.

    Parameters
    ----------
    kind : str
        One of `REGIONS`: Voronoi cells, overlapping islands, interlocking blends, bent bands, or
        rectangular plots like fields seen from the air.
    draw : Draws
    shape : tuple of int
    count : int
        Number of materials, at least 2.
    scale : float
        Typical size of a region in pixels.
    angle : float
        Direction of bands and plots in radians.
    """
    if kind == "voronoi":
        index, _ = voronoi(draw, shape, scale, 0.2 * scale)
        return np.asarray(draw.fixed.integers(0, count, index.max() + 1)[index], dtype=np.int32)
    if kind == "islands":
        # Later materials cover earlier ones.
        result = np.zeros(shape, dtype=np.int32)
        for material in range(1, count):
            level = float(draw.fixed.uniform(0.2, 1.0))
            result[fields.smooth_field(draw, shape, scale) > level] = material
        return np.asarray(draw.fixed.permutation(count)[result], dtype=np.int32)
    if kind == "blend":
        layers = [fields.smooth_field(draw, shape, scale) for _ in range(count)]
        return np.asarray(np.argmax(layers, axis=0), dtype=np.int32)
    rows, columns = fields.warped_grid(draw, shape, 0.35 * scale * (kind == "bands"), 2 * scale)
    across = rows * np.float32(np.cos(angle)) - columns * np.float32(np.sin(angle))
    along = rows * np.float32(np.sin(angle)) + columns * np.float32(np.cos(angle))
    bands = _intervals(draw, across, scale)
    if kind == "bands":
        return np.asarray(draw.fixed.integers(0, count, bands.max() + 1)[bands], dtype=np.int32)
    # Each band is cut into plots independently.
    shifts = draw.uniform(0, 50 * scale, int(bands.max()) + 1)[bands]
    plots = np.floor((along + shifts) / np.float32(1.4 * scale)).astype(np.int64)
    keys = (bands.astype(np.int64) * 7919 + plots * 104729) % 4099
    return np.asarray(draw.fixed.integers(0, count, 4099)[keys], dtype=np.int32)


def _intervals(draw: Draws, values: FloatArray, scale: float) -> Index:
    """Return the index of the random interval, `scale` long on average, that holds each value."""
    low, high = float(values.min()), float(values.max())
    number = max(2, int((high - low) / scale) + 1)
    edges = np.sort(low + (high - low) * draw.uniform(0, 1, number))
    return np.searchsorted(edges, values.ravel()).reshape(values.shape).astype(np.int32)
