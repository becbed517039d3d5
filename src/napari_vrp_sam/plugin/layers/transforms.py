"""Where an annotation lies on an image: data coordinates of one layer -> of another.

Layers may differ in scale, translation, rotation, shear, affine and units, and in their number of
axes: as in napari, axes are aligned from the right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Layer

Coordinates = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class LayerMap:
    """An affine map from the data coordinates of one layer to those of another.

    Parameters
    ----------
    linear : ndarray, shape (n, k)
    offset : ndarray, shape (n,)
        `linear @ source + offset` is a position in the target.
    """

    linear: Coordinates
    offset: Coordinates

    def __call__(self, coordinates: ArrayLike) -> Coordinates:
        """Map coordinates of shape (..., k) to (..., n)."""
        return np.asarray(coordinates, dtype=np.float64) @ self.linear.T + self.offset

    @property
    def in_plane(self) -> Coordinates:
        """The part that maps (row, column) to (row, column), shape (2, 2)."""
        return self.linear[-2:, -2:]

    @property
    def magnification(self) -> float:
        """Length in the target of one in-plane pixel of the source."""
        return float(np.sqrt(abs(np.linalg.det(self.in_plane))))

    def tilts(self, plane_shape: Sequence[int]) -> bool:
        """Whether a source plane of this shape leaves the target frame that it starts on."""
        drift = abs(self.linear[:-2, -2:]) @ np.asarray(plane_shape, dtype=np.float64)
        return bool((drift > 0.5).any())


def layer_map(source: Layer, target: Layer, dims: Dims) -> LayerMap:
    """Map from the data coordinates of an annotation layer to those of an image layer.

    Parameters
    ----------
    source, target : Layer
    dims : Dims
        The viewer's: where the source has fewer axes than the target, it lies on the slice in view.
    """
    linear, offset = _data_to_world(source)
    factors = _unit_factors(source, target)
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
    """World coordinates of the slice in view, in the axes and units of a layer."""
    point = np.zeros(max(layer.ndim, dims.ndim))
    point[len(point) - dims.ndim :] = dims.point
    return point[-layer.ndim :] * _viewer_units(layer, dims)


def shown_at_once(layer: Layer, dims: Dims, axes: Iterable[int]) -> bool:
    """Whether the viewer shows any of a layer's axes as a whole: in 3-D, or from the side."""
    return any(dims.ndim - layer.ndim + axis in dims.displayed for axis in axes)


def bring_into_view(layer: Layer, dims: Dims, position: Mapping[int, int]) -> None:
    """Move the viewer's sliders so that a layer is seen at a position.

    Parameters
    ----------
    layer : Layer
    dims : Dims
        The viewer's.
    position : mapping of int to int
        Data coordinate by axis of the layer; other axes stay as they are.
    """
    at = np.array(layer.world_to_data(slice_in_view(layer, dims)), dtype=np.float64)
    at[list(position)] = list(position.values())
    world = np.asarray(layer.data_to_world(at)) / _viewer_units(layer, dims)
    for axis in position:
        dims.set_point(dims.ndim - layer.ndim + axis, world[axis])


def _viewer_units(layer: Layer, dims: Dims) -> Coordinates:
    """What turns the viewer's world coordinates into the layer's units, axis by axis."""
    world_units = getattr(dims, "units", None)  # napari before 0.7 has none
    if world_units is None or len(world_units) < layer.ndim:
        return np.ones(layer.ndim)
    return _conversion(world_units[-layer.ndim :], layer.units)


def _data_to_world(layer: Layer) -> tuple[Coordinates, Coordinates]:
    """Matrix and offset of a layer's transform, read by mapping the unit vectors."""
    origin = np.array(layer.data_to_world(np.zeros(layer.ndim)), dtype=np.float64)
    columns = [np.array(layer.data_to_world(unit)) - origin for unit in np.eye(layer.ndim)]
    return np.stack(columns, axis=1), origin


def _unit_factors(source: Layer, target: Layer) -> Coordinates:
    """What turns world coordinates in the source's units into the target's, axis by axis."""
    shared = min(source.ndim, target.ndim)
    factors = np.ones(source.ndim)
    factors[-shared:] = _conversion(source.units[-shared:], target.units[-shared:])
    return factors


def _conversion(units: Sequence[Any], wanted: Sequence[Any]) -> Coordinates:
    # napari converts units only where all axes agree in kind (no micrometres beside pixels).
    if any(a.dimensionality != b.dimensionality for a, b in zip(units, wanted, strict=True)):
        return np.ones(len(units))
    return np.array([float((1 * a).to(b).magnitude) for a, b in zip(units, wanted, strict=True)])
