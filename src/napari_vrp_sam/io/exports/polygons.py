"""Polygons as GeoPackage and GeoJSON: for GIS, QuPath and spatial statistics."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vrp_sam.files import atomic
from napari_vrp_sam.io.exports.labelled_stack import LabelledStack, Region
from napari_vrp_sam.io.exports.options import ExportOptions
from napari_vrp_sam.io.optional import require
from napari_vrp_sam.io.units import lengths, unit_suffix

if TYPE_CHECKING:
    import geopandas
    from shapely.geometry.base import BaseGeometry

LAYER = "objects"
"""Name of the layer in a GeoPackage."""


def write_polygons(path: Path, stack: LabelledStack, options: ExportOptions) -> None:
    """Write the outlines of all regions, in coordinates of the CRS, or in pixels without one.

    Each region is a polygon, or several if its parts touch at corners only, with holes.
    Its attributes are `class`, `class_name`, `object`, `t` and `z` for a stack, `score`, `area` in
    the units of the coordinates (square metres if these are degrees), and the area in physical
    units, such as `area_m2`.

    Raises
    ------
    InputError
        If the packages for maps are missing, or the file cannot be written.
    """
    for package in ("geopandas", "pyogrio", "rasterio"):
        require(package, "geo", "Polygons")
    table = _polygon_table(stack, options)
    with atomic(path) as temporary:
        if temporary.suffix.lower() == ".gpkg":
            temporary.unlink()  # GDAL would add to the file
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "'crs' was not provided")
                table.to_file(temporary, layer=LAYER, driver="GPKG", engine="pyogrio")
        else:
            if stack.metadata.transform is None:
                _add_qupath_columns(table)
            temporary.write_text(table.to_json(drop_id=True), encoding="utf-8")


def outline(region: Region, tolerance: float = 0) -> BaseGeometry:
    """Return the outline of a region along the borders of its pixels.

    Parameters
    ----------
    region : Region
    tolerance : float
        Largest distance in pixels by which a simplified outline may differ; 0: exact.

    Returns
    -------
    Polygon or MultiPolygon
        In pixels, x and y from the upper left corner of the frame.
    """
    from rasterio.features import shapes
    from rasterio.transform import Affine
    from shapely.geometry import MultiPolygon, shape

    origin = Affine.translation(region.left, region.top)
    found = shapes(region.mask.astype(np.uint8), mask=region.mask, connectivity=4, transform=origin)
    parts = [shape(polygon) for polygon, _ in found]
    whole = parts[0] if len(parts) == 1 else MultiPolygon(parts)
    return whole.simplify(tolerance) if tolerance else whole


def _polygon_table(stack: LabelledStack, options: ExportOptions) -> geopandas.GeoDataFrame:
    import geopandas
    from shapely.affinity import affine_transform

    rows: list[dict[str, Any]] = []
    geometries = []
    metadata = stack.metadata
    for region in stack.regions():
        geometry = outline(region, options.tolerance)
        if metadata.transform is not None:
            a, b, c, d, e, f = metadata.transform
            geometry = affine_transform(geometry, (a, b, d, e, c, f))
        geometries.append(geometry)
        rows.append(
            {
                "class": region.class_id,
                "class_name": stack.class_name(region.class_id),
                "object": region.object_id,
                **{axis.lower(): at for axis, at in region.position.items()},
                "score": region.score,
            }
        )
    columns = ["class", "class_name", "object", *stack.axes[:-2].lower(), "score"]
    table = geopandas.GeoDataFrame(rows, columns=columns, geometry=geometries, crs=metadata.crs)
    table["score"] = table["score"].astype(float)
    _add_areas(table, stack)
    return table


def _add_areas(table: geopandas.GeoDataFrame, stack: LabelledStack) -> None:
    """Add the area in units of the coordinates, and in the unit of the map or the pixel size."""
    sizes, unit = lengths(stack.metadata)
    table["area"] = np.asarray([shape.area for shape in table.geometry], float)
    if table.crs is not None and table.crs.is_geographic:  # square degrees have no meaning
        geod = table.crs.get_geod()
        areas = [abs(geod.geometry_area_perimeter(shape)[0]) for shape in table.geometry]
        table["area"] = table["area_m2"] = np.asarray(areas, float)
    elif unit and stack.metadata.transform is not None:
        table[f"area_{unit_suffix(unit)}2"] = table["area"]
    elif sizes:
        table[f"area_{unit_suffix(unit)}2"] = table["area"] * sizes["Y"] * sizes["X"]


def _add_qupath_columns(table: geopandas.GeoDataFrame) -> None:
    """Add what QuPath reads from GeoJSON in pixels."""
    table["objectType"] = "annotation"
    table["classification"] = [{"name": name} for name in table["class_name"]]
