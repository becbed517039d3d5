"""Metadata of TIFF files: calibration of OME, ImageJ and microscopes, place of GeoTIFF."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import tifffile

from napari_vrp_sam.io.images.units import unit_name
from napari_vrp_sam.io.metadata import Affine, ImageMetadata, pixel_sides

GEO_TAGS = ("ModelPixelScaleTag", "ModelTransformationTag", "GeoKeyDirectoryTag")
NODATA_TAG = 42113


def tiff_metadata(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> ImageMetadata:
    """Return the metadata of an image of a TIFF file; what cannot be parsed is left out."""
    page = series.keyframe
    fields: dict[str, Any] = {}
    # Metadata of programs take every form, and pixels are worth more.
    with suppress(Exception):
        if series.kind == "ome":
            fields = _ome(file, series)
        elif file.is_imagej:
            fields = _imagej(file, page)
        elif file.is_lsm:
            fields = _lsm(file)
        elif file.is_stk:
            fields = _stk(file)
        elif page.is_svs:
            size = float(tifffile.tifffile.svs_description_metadata(page.description)["MPP"])
            fields = _calibration({"Y": (size, "micrometer"), "X": (size, "micrometer")})
        elif is_geotiff(page):
            fields = _geotiff(file, page)
    return ImageMetadata(**fields, nodata=nodata_value(page))


def is_geotiff(page: tifffile.TiffPage) -> bool:
    """Return whether a page has a place on a map."""
    return any(name in page.tags for name in GEO_TAGS)


def nodata_value(page: tifffile.TiffPage) -> float | None:
    """Return the value of pixels without data as GDAL stores it, in the precision of the pixels."""
    text = page.tags.valueof(NODATA_TAG)
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    dtype = np.dtype(page.dtype)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return float(dtype.type(value))
    return value


def ome_channel_names(pixels: ET.Element) -> tuple[str, ...]:
    """Return the names of the channels of OME metadata; () if none has one."""
    names = [channel.get("Name") or "" for channel in _children(pixels, "Channel")]
    return tuple(names) if any(names) else ()


def _calibration(sizes: dict[str, tuple[float | None, str | None]]) -> dict[str, Any]:
    known = {axis: (size, unit) for axis, (size, unit) in sizes.items() if size}
    return {
        "pixel_size": {axis: float(size) for axis, (size, _) in known.items() if size},
        "units": {axis: unit_name(unit) for axis, (_, unit) in known.items() if unit},
    }


def _children(element: ET.Element, name: str) -> Iterator[ET.Element]:
    """Children of a name in any namespace, which differs between the versions of OME."""
    return (child for child in element if child.tag.rpartition("}")[2] == name)


def _ome(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> dict[str, Any]:
    root = ET.fromstring(file.ome_metadata or "")  # noqa: S314 - entities are not expanded
    pixels = [p for image in _children(root, "Image") for p in _children(image, "Pixels")]
    chosen = pixels[file.series.index(series)]
    sizes = {
        axis: (
            float(chosen.get(f"PhysicalSize{axis}", 0)),
            chosen.get(f"PhysicalSize{axis}Unit", "µm"),
        )
        for axis in "ZYX"
    }
    interval = float(chosen.get("TimeIncrement", 0)), chosen.get("TimeIncrementUnit", "s")
    return {
        **_calibration({"T": interval, **sizes}),
        "channel_names": ome_channel_names(chosen),
    }


def _imagej(file: tifffile.TiffFile, page: tifffile.TiffPage) -> dict[str, Any]:
    found = file.imagej_metadata or {}
    unit = found.get("unit")
    interval = found.get("finterval") or (1 / found["fps"] if found.get("fps") else None)
    pixels_per_unit = {"Y": page.tags.valueof("YResolution"), "X": page.tags.valueof("XResolution")}
    sizes = {
        axis: (value[1] / value[0] if value and value[0] and unit else None, unit)
        for axis, value in pixels_per_unit.items()
    }
    return _calibration(
        {
            "T": (interval, found.get("tunit", "sec")),
            "Z": (found.get("spacing") if unit else None, unit),
            **sizes,
        }
    )


def _lsm(file: tifffile.TiffFile) -> dict[str, Any]:
    found = file.lsm_metadata or {}
    names = (found.get("ChannelColors") or {}).get("ColorNames") or ()
    sizes = {axis: (float(found[f"VoxelSize{axis}"]) * 1e6, "micrometer") for axis in "ZYX"}
    interval = float(found.get("TimeIntervall") or 0), "second"
    return {**_calibration({"T": interval, **sizes}), "channel_names": tuple(names)}


def _stk(file: tifffile.TiffFile) -> dict[str, Any]:
    found = file.stk_metadata or {}
    unit = found.get("CalibrationUnits") or found.get("XCalibrationUnits")
    distance = np.ravel(found.get("ZDistance", 0))[0]
    sizes = {axis: (found.get(f"{axis}Calibration"), unit) for axis in "YX"}
    return _calibration({"Z": (float(distance), unit), **sizes}) if unit else {}


def _geotiff(file: tifffile.TiffFile, page: tifffile.TiffPage) -> dict[str, Any]:
    transform = _transform(page)
    keys = file.geotiff_metadata or {}
    code = keys.get("ProjectedCSTypeGeoKey") or keys.get("GeographicTypeGeoKey")
    unit = "metre" if "ProjectedCSTypeGeoKey" in keys else "degree"
    fields: dict[str, Any] = {
        "transform": transform,
        "crs": f"EPSG:{int(code)}" if code and int(code) < 32767 else None,
        "channel_names": _band_names(file, page.samplesperpixel),
    }
    if transform and code:
        sides = pixel_sides(transform)
        fields |= _calibration({axis: (size, unit) for axis, size in sides.items()})
    return fields


def _transform(page: tifffile.TiffPage) -> Affine | None:
    matrix = page.tags.valueof("ModelTransformationTag")
    if matrix is not None:
        a, b, _, c, d, e, _, f = np.ravel(matrix)[:8].tolist()
        return (a, b, c, d, e, f)
    scale, tie = (page.tags.valueof(f"Model{name}Tag") for name in ("PixelScale", "Tiepoint"))
    if scale is None or tie is None or len(tie) != 6:
        return None
    column, row, _, x, y, _ = map(float, tie)
    width, height = float(scale[0]), float(scale[1])
    half = 0.5 if _is_pixel_centre(page) else 0.0
    column, row = column + half, row + half
    return (width, 0.0, x - column * width, 0.0, -height, y + row * height)


def _is_pixel_centre(page: tifffile.TiffPage) -> bool:
    """Return whether coordinates refer to pixel centres (GTRasterTypeGeoKey 2), not corners."""
    keys = np.reshape(page.tags.valueof("GeoKeyDirectoryTag") or (), (-1, 4))
    return any(key == 1025 and value == 2 for key, _, _, value in keys.tolist())


def _band_names(file: tifffile.TiffFile, count: int) -> tuple[str, ...]:
    """Return the descriptions of bands in the metadata of GDAL."""
    names = [""] * count
    root = ET.fromstring(file.pages.first.tags.valueof("GDAL_METADATA") or "<GDALMetadata/>")  # noqa: S314
    for item in root.iter("Item"):
        if item.get("role") == "description" and item.get("sample"):
            names[int(item.get("sample", 0))] = item.text or ""
    return tuple(names) if any(names) else ()
