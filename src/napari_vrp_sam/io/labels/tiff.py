"""TIFF files of labels and probabilities, written page by page with their calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_vrp_sam.files import atomic
from napari_vrp_sam.io.metadata import ImageMetadata
from napari_vrp_sam.io.units import convert, lengths, unit_symbol

IMAGEJ_AXES = "TZCYXS"
OME_SUFFIXES = (".ome.tif", ".ome.tiff")
MAX_CLASSIC_SIZE = 2**32 - 2**25
"""Larger files are BigTIFF, which ImageJ's own format does not support."""


def write_pages(
    path: Path,
    pages: Iterator[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axes: str,
    metadata: ImageMetadata | None = None,
    *,
    notes: Mapping[str, str] | None = None,
    tile: int = 0,
) -> None:
    """Write compressed TIFF page by page, atomically, as ImageJ, OME or plain TIFF.

    The format is OME-TIFF if the suffix is .ome.tif, or if ImageJ's format, which it prefers,
    does not support 32-bit labels, the order of the axes or the size of a calibrated image.

    Parameters
    ----------
    path : Path
        Path with the suffix .tif or .tiff.
    pages : iterator of ndarray, shape (Y, X)
        One page for each frame, or each class of a frame.
    shape : tuple of int
        Leading axes + (Y, X).
    dtype : dtype
    axes : str
        One letter of T, Z, C, Y, X for each axis.
    metadata : ImageMetadata, optional
        Calibration to store: pixel sizes, units and origin.
    notes : mapping of str to str, optional
        Other values to store by their names.
    tile : int
        Side of the tiles, which `pages` yields instead of pages; 0 for none. ImageJ's own format
        has no tiles.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    metadata = metadata or ImageMetadata()
    notes = dict(notes or {})
    size = math.prod(shape) * dtype.itemsize
    imagej = not tile and dtype.itemsize <= 2 and imagej_keeps(axes) and size < MAX_CLASSIC_SIZE
    ome = path.name.lower().endswith(OME_SUFFIXES) or (bool(metadata.pixel_size) and not imagej)
    if ome:
        planes = math.prod(shape[:-2])
        options: dict[str, Any] = {"ome": True, "metadata": _ome(metadata, axes, planes, notes)}
    elif imagej:
        options = {"imagej": True, **_imagej(metadata, axes, notes)}
    else:
        options = {"metadata": {"axes": axes, **notes}}
    with atomic(path) as temporary:
        tifffile.imwrite(
            temporary,
            pages,
            shape=shape,
            dtype=dtype,
            photometric="minisblack",
            tile=(tile, tile) if tile else None,
            compression="zlib",
            bigtiff=size >= MAX_CLASSIC_SIZE,
            **options,
        )


def imagej_keeps(axes: str) -> bool:
    """Return whether axes are in the order of ImageJ, so that its TIFF files preserve them."""
    places = [IMAGEJ_AXES.find(axis) for axis in axes]
    return places == sorted({*places} - {-1})


def _imagej(metadata: ImageMetadata, axes: str, notes: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of tifffile that store a calibration as ImageJ does."""
    description: dict[str, Any] = {"axes": axes, **notes}
    sizes, unit = lengths(metadata)
    if not sizes and {"Y", "X"} <= metadata.pixel_size.keys():
        sizes = {
            axis: abs(metadata.pixel_size[axis]) for axis in "ZYX" if axis in metadata.pixel_size
        }
    options: dict[str, Any] = {}
    if sizes.get("X") and sizes.get("Y"):
        options["resolution"] = (1 / sizes["X"], 1 / sizes["Y"])
        if unit:
            symbol = unit_symbol(unit)
            # ImageJ shows "um" as a micrometer; its descriptions are ASCII.
            description["unit"] = {"\N{MICRO SIGN}m": "um"}.get(symbol, symbol)
            if not description["unit"].isascii():
                description["unit"] = unit
    if "Z" in axes and sizes.get("Z"):
        description["spacing"] = sizes["Z"]
    if "T" in axes and (interval := metadata.pixel_size.get("T")):
        time_unit = metadata.units.get("T", "second")
        description["finterval"] = convert(interval, time_unit, "second") or interval
    for axis in "XYZ":
        if metadata.origin.get(axis) and sizes.get(axis):
            # The pixel at the origin of the coordinates.
            description[f"{axis.lower()}origin"] = -metadata.origin[axis] / sizes[axis]
    return {**options, "metadata": description}


def _ome(
    metadata: ImageMetadata, axes: str, planes: int, notes: Mapping[str, str]
) -> dict[str, Any]:
    """Return a calibration as tifffile stores it in OME-XML."""
    description: dict[str, Any] = {"axes": axes}
    for axis, size in metadata.pixel_size.items():
        name = "TimeIncrement" if axis == "T" else f"PhysicalSize{axis}"
        description[name] = abs(size)
        if unit := metadata.units.get(axis):
            description[f"{name}Unit"] = unit_symbol(unit)
    position: dict[str, Any] = {}
    for axis in "XYZ":
        if metadata.origin.get(axis):
            position[f"Position{axis}"] = [metadata.origin[axis]] * planes
            if unit := metadata.units.get(axis):
                position[f"Position{axis}Unit"] = [unit_symbol(unit)] * planes
    if position:
        description["Plane"] = position
    if notes:
        description["MapAnnotation"] = {"Namespace": "napari-vrp-sam", **notes}
    if "C" in axes and metadata.channel_names:
        description["Channel"] = {"Name": list(metadata.channel_names)}
    return description
