"""Coordinate transforms between layers, and between layers and the viewer's sliders.

Layers may differ in scale, translation, rotation, shear, affine, units and number of axes; as in
napari, axes are aligned from the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Layer
from numpy.typing import ArrayLike, NDArray

Coordinates = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class LayerMap:
    """Affine map from the data coordinates of one layer (source) to those of another (target).

    `linear @ source + offset` is the position in the target; shapes (n, k) and (n,).
    """

    linear: Coordinates
    offset: Coordinates

    def __call__(self, coordinates: ArrayLike) -> Coordinates:
        """Map coordinates of shape (..., k) to (..., n)."""
        return np.asarray(coordinates, dtype=np.float64) @ self.linear.T + self.offset

    @property
    def in_plane(self) -> Coordinates:
        """Submatrix from (row, column) to (row, column), shape (2, 2)."""
        return self.linear[-2:, -2:]

    @property
    def magnification(self) -> float:
        """Length in target pixels of one in-plane source pixel."""
        return float(np.sqrt(abs(np.linalg.det(self.in_plane))))

    def is_tilted(self, plane_shape: Sequence[int]) -> bool:
        """Return True if a source plane of this shape crosses more than one target frame."""
        drift = abs(self.linear[:-2, -2:]) @ np.asarray(plane_shape, dtype=np.float64)
        return bool((drift > 0.5).any())


def layer_map(source: Layer, target: Layer, dims: Dims) -> LayerMap:
    """Return the map from an annotation layer to an image layer.

    A source with fewer axes than the target lies on the slice in view of the viewer's `dims`.
    """
    linear, offset = _data_to_world(source)
    shared = min(source.ndim, target.ndim)
    factors = np.ones(source.ndim)
    factors[-shared:] = _unit_factors(source.units[-shared:], target.units[-shared:])
    linear, offset = factors[:, None] * linear, factors * offset
    missing = target.ndim - source.ndim
    if missing > 0:
        linear = np.vstack([np.zeros((missing, source.ndim)), linear])
        offset = np.concatenate([slice_in_view(target, dims)[:missing], offset])
    else:
        linear, offset = linear[-target.ndim :], offset[-target.ndim :]
    to_world, origin = _data_to_world(target)
    return LayerMap(np.linalg.solve(to_world, linear), np.linalg.solve(to_world, offset - origin))


def slice_in_view(layer: Layer, dims: Dims) -> Coordinates:
    """Return the world coordinates of the slice in view, in the axes and units of a layer."""
    point = np.zeros(max(layer.ndim, dims.ndim))
    point[len(point) - dims.ndim :] = dims.point
    return point[-layer.ndim :] * _viewer_factors(layer, dims)


def displays_any_axis(layer: Layer, dims: Dims, axes: Iterable[int]) -> bool:
    """Return True if any of these axes of a layer is displayed, not controlled by a slider."""
    return any(dims.ndim - layer.ndim + axis in dims.displayed for axis in axes)


def bring_into_view(layer: Layer, dims: Dims, position: Mapping[int, int]) -> None:
    """Move the viewer's sliders to a position, given as data coordinates by axis of a layer."""
    point = np.array(layer.world_to_data(slice_in_view(layer, dims)), dtype=np.float64)
    point[list(position)] = list(position.values())
    world = np.asarray(layer.data_to_world(point)) / _viewer_factors(layer, dims)
    for axis in position:
        dims.set_point(dims.ndim - layer.ndim + axis, world[axis])


def _viewer_factors(layer: Layer, dims: Dims) -> Coordinates:
    """Return factors from the viewer's world units to the units of a layer, per axis."""
    world_units = getattr(dims, "units", None)  # napari >= 0.7
    if world_units is None or len(world_units) < layer.ndim:
        return np.ones(layer.ndim)
    return _unit_factors(world_units[-layer.ndim :], layer.units)


def _data_to_world(layer: Layer) -> tuple[Coordinates, Coordinates]:
    """Return matrix and offset of a layer's transform."""
    origin = np.array(layer.data_to_world(np.zeros(layer.ndim)), dtype=np.float64)
    columns = [np.array(layer.data_to_world(unit)) - origin for unit in np.eye(layer.ndim)]
    return np.stack(columns, axis=1), origin


def _unit_factors(units: Sequence[Any], target_units: Sequence[Any]) -> Coordinates:
    pairs = list(zip(units, target_units, strict=True))
    # As in napari: no conversion unless all axes are compatible.
    if any(unit.dimensionality != target.dimensionality for unit, target in pairs):
        return np.ones(len(units))
    return np.array([float((1 * unit).to(target).magnitude) for unit, target in pairs])
