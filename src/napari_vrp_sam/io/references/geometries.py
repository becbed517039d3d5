"""Drawings from geometries as GeoJSON and shapely describe them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.io.references.annotations import Drawing
from napari_vrp_sam.io.references.classes import ClassOf

ToPixels = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Function from (x, y) to (row, column), of which the centre of the first pixel is (0, 0)."""


def corner_to_centre(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (row, column) of pixel centres for (x, y) counted from the corner of the image."""
    return points[:, 1::-1] - 0.5


def geometry_drawings(
    geometry: Mapping[str, Any], to_pixels: ToPixels, of: ClassOf, frame: int | None
) -> Iterator[Drawing]:
    """Yield the drawings of a geometry; those with several parts give several.

    Parameters
    ----------
    geometry : mapping
        With "type" and "coordinates", as in GeoJSON and `__geo_interface__`.
    to_pixels : callable
    of : ClassOf
    frame : int, optional
    """

    def drawing(shape: Any, *rings: Any) -> Drawing:
        points = tuple(to_pixels(np.asarray(ring, np.float64)[:, :2]) for ring in rings)
        return Drawing(shape, points, of.class_id, frame, of.role)

    kind = str(geometry["type"])
    if kind == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from geometry_drawings(part, to_pixels, of, frame)
        return
    several = kind.startswith("Multi")
    coordinates = geometry.get("coordinates") or ()
    for part in coordinates if several else [coordinates]:
        if not len(part):
            continue
        match kind.removeprefix("Multi"):
            case "Polygon":
                yield drawing("polygon", *part)
            case "LineString":
                yield drawing("path", part)
            case "Point":
                yield drawing("point", [part])
