"""GeoPackage, shapefile and other files of GIS programs, in the coordinates of the scene."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.metadata import Affine
from napari_vrp_sam.io.optional import require
from napari_vrp_sam.io.references.annotations import Drawing, StoredAnnotations
from napari_vrp_sam.io.references.classes import class_column, number_classes
from napari_vrp_sam.io.references.geometries import geometry_drawings
from napari_vrp_sam.io.references.reading import AnnotationReader, Request

ROOT = re.compile(rb"(?:\s|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*>)*<([\w.:-]+)", re.DOTALL)
"""Start of an XML file up to the name of its root element."""
MOST_TEXT = 1 << 16
"""Number of bytes in which that name is searched."""
SUFFIXES = (".gpkg", ".shp", ".fgb", ".kml", ".gml", ".parquet", ".geoparquet", ".shz")


def read_vector_file(request: Request) -> StoredAnnotations:
    """Read polygons, lines and points, transformed to the pixels of the scene.

    Raises
    ------
    InputError
        If the image has no place on the map, the column does not exist, or nothing lies in the
        image.
    """
    require("geopandas", "geo", "GeoPackages, shapefiles and maps of GeoJSON")
    import geopandas

    path, metadata = request.path, request.stack.metadata
    if metadata.transform is None:
        raise InputError(
            f"{path} has coordinates of a map, but the image has no place on a map: give a GeoTIFF "
            "with a transform, or annotations in pixels."
        )
    _check_driver(path)
    parquet = path.suffix.lower().endswith("parquet")
    layer, notes = (None, ()) if parquet else _choose_layer(path)
    table = geopandas.read_parquet(path) if parquet else geopandas.read_file(path, layer=layer)
    if table.crs is None:
        notes += ("It has no CRS: that of the image is assumed.",)
    elif table.crs.is_geographic and _beyond_degrees(table.total_bounds):
        # GeoJSON without a CRS counts as degrees, but many programs write any coordinates.
        notes += ("Its coordinates are not in degrees: the CRS of the image is assumed.",)
    elif metadata.crs is not None:
        table = table.to_crs(metadata.crs)
    columns = [str(name) for name in table.columns if name != table.geometry.name]
    column = class_column(columns, request.class_column)
    classes = number_classes(
        [None] * len(table) if column is None else table[column],
        chosen=request.class_column is not None,
    )
    frames = table["frame"] if "frame" in columns else [None] * len(table)
    to_pixels = _Inverse(metadata.transform)
    drawings: list[Drawing] = []
    for geometry, of, frame in zip(table.geometry, classes.found, frames, strict=True):
        if geometry is not None and not geometry.is_empty and of is not None:
            at = request.stack.frame_at() if frame is None or frame != frame else int(frame)
            drawings += geometry_drawings(geometry.__geo_interface__, to_pixels, of, at)
    return StoredAnnotations(
        drawings=tuple(drawings), class_names=classes.names, notes=notes + classes.notes
    )


def _choose_layer(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the name of the first layer with shapes, and a note if there are more."""
    import pyogrio

    names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    if not names:
        raise InputError(f"{path} has no layer with shapes: give a file with polygons or points.")
    if len(names) == 1:
        return names[0], ()
    listed = ", ".join(names)
    return names[0], (
        f"Only the first of the layers {listed} is read: save the others as files of their own.",
    )


def _beyond_degrees(bounds: NDArray[np.float64]) -> bool:
    """Return whether x and y are too large for longitude (also from 0 to 360) and latitude."""
    left, bottom, right, top = bounds
    return bool(min(left, right) < -360 or max(left, right) > 360 or bottom < -90 or top > 90)


def _check_driver(path: Path) -> None:
    """Raise `InputError` for XML of other drivers of GDAL, which name addresses to connect to."""
    with path.open("rb") as file:
        head = file.read(MOST_TEXT)
    text = head.lstrip(b"\xef\xbb\xbf \r\n\t")
    root = ROOT.match(text)
    name = b"" if root is None else root[1].rpartition(b":")[2].upper()
    if text.startswith(b"<") and (not name or name.startswith((b"OGR", b"GDAL"))):
        raise InputError(
            f"{path} describes data elsewhere, and no file makes this program connect to an "
            "address: give the file with the shapes."
        )


class _Inverse:
    """Function from coordinates of the CRS to (row, column) of pixel centres."""

    def __init__(self, transform: Affine) -> None:
        a, b, c, d, e, f = transform
        self._inverse = np.linalg.inv([[a, b], [d, e]])
        self._origin = np.array([c, f])

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        column_row: NDArray[Any] = (points - self._origin) @ self._inverse.T
        return column_row[:, ::-1] - 0.5


def _recognises(path: Path, head: bytes) -> bool:
    return path.suffix.lower() in SUFFIXES or head.startswith(b"PAR1")


READER = AnnotationReader(
    "a vector file of a GIS", "geopandas with pyogrio", _recognises, read_vector_file
)
