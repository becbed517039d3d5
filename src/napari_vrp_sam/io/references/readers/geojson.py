"""GeoJSON: annotations of QuPath in pixels, or of a GIS in the coordinates of the scene."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.references.annotations import Drawing, StoredAnnotations
from napari_vrp_sam.io.references.classes import ClassOf, class_column, number_classes
from napari_vrp_sam.io.references.geometries import corner_to_centre, geometry_drawings
from napari_vrp_sam.io.references.readers.vector_file import read_vector_file
from napari_vrp_sam.io.references.reading import Request

QUPATH_KEYS = frozenset({"objectType", "classification", "object_type", "isLocked"})


def is_geojson(content: Any) -> bool:
    """Return whether parsed JSON is GeoJSON; older versions of QuPath wrote a list of features."""
    first = content[0] if isinstance(content, list) and content else content
    return isinstance(first, Mapping) and (
        first.get("type") in ("FeatureCollection", "Feature") or "coordinates" in first
    )


def read_geojson(content: Any, request: Request) -> StoredAnnotations:
    """Read the features of parsed GeoJSON.

    In a scene with a CRS, coordinates are those of a map, unless QuPath wrote them.
    """
    features = _features(content)
    if not features:
        raise InputError(f"{request.path} holds no annotation: export at least one.")
    metadata = request.stack.metadata
    of_qupath = any(QUPATH_KEYS & set(feature.get("properties") or ()) for feature in features)
    if metadata.crs and metadata.transform and not of_qupath and not _in_pixels(content, request):
        return read_vector_file(request)
    keys = list(dict.fromkeys(key for f in features for key in f.get("properties") or ()))
    column = class_column(keys, request.class_column)
    names = [_class_name(feature, column) for feature in features]
    classes = number_classes(names, chosen=request.class_column is not None)
    drawings: list[Drawing] = []
    for feature, of in zip(features, classes.found, strict=True):
        geometry = feature.get("geometry")
        if of is not None and geometry:
            plane = geometry.get("plane") or {}
            at = {axis.upper(): int(plane[axis]) for axis in "tz" if axis in plane}
            frame = request.stack.frame_at(**at) if at else request.stack.frame_at()
            drawings += geometry_drawings(geometry, corner_to_centre, of, frame)
    return StoredAnnotations(
        drawings=tuple(drawings), class_names=classes.names, notes=classes.notes
    )


def _features(content: Any) -> list[Mapping[str, Any]]:
    if isinstance(content, list):
        return [feature for part in content for feature in _features(part)]
    if content.get("type") == "FeatureCollection":
        return list(content["features"])
    return [content if content.get("type") == "Feature" else {"geometry": content}]


def _class_name(feature: Mapping[str, Any], column: str | None) -> Any:
    value = (feature.get("properties") or {}).get(column) if column else None
    return value.get("name") if isinstance(value, Mapping) else value


def _in_pixels(content: Any, request: Request) -> bool:
    """Return whether coordinates lie in the image as pixels, but are no longitude and latitude."""
    if isinstance(content, Mapping) and "crs" in content:
        return False
    drawings = [
        drawing
        for feature in _features(content)
        if feature.get("geometry")
        for drawing in geometry_drawings(
            feature["geometry"], corner_to_centre, ClassOf(1, "class"), None
        )
    ]
    points = np.concatenate([ring for drawing in drawings for ring in drawing.rings])
    inside = ((points >= -1) & (points <= request.stack.frame_shape)).all()
    return bool(inside and (abs(points[:, 1]) > 180).any())
