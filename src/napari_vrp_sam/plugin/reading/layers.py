"""Image layers of stored images: lazy, calibrated, with their axes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pint

from napari_vrp_sam.io.images.lazy_stack import LazyArray
from napari_vrp_sam.io.images.opening import image_names, open_image
from napari_vrp_sam.io.metadata import ImageMetadata
from napari_vrp_sam.plugin.layers.calibration import SOURCE
from napari_vrp_sam.plugin.layers.metadata import CRS, METADATA_KEY
from napari_vrp_sam.plugin.layers.stacks import NODATA

LayerTuple = tuple[Any, dict[str, Any], str]
MAX_CHUNK = 2048
"""Maximum height and width of the pieces of a frame that napari reads, in pixels."""


def image_layer(path: Path, image: int | None = None) -> LayerTuple:
    """Return the layer of an image, for napari to add.

    Parameters
    ----------
    path : Path
    image : int, optional
        Number of the image in a file of several; default: the main image.

    Raises
    ------
    InputError
        If the image cannot be read.
    """
    stored = open_image(path, image=image)
    data, axes = stored.data, stored.axes
    named = axes is not None
    # Without names the user chooses the axes in the form.
    axes = axes or "?" * (len(data.shape) - 2) + "YX"
    if isinstance(data, LazyArray):
        data = da.from_array(data, _chunks(data.shape, axes), asarray=False)
    if "S" in axes:  # napari expects colours last
        move = da.moveaxis if isinstance(data, da.Array) else np.moveaxis
        data = move(data, axes.index("S"), -1)
        axes = axes.replace("S", "") + "S"
    name = path.stem if image is None else f"{path.stem} [{image_names(path)[image]}]"
    letters = axes.replace("S", "")
    kept: dict[str, Any] = {SOURCE: str(path)}
    if stored.metadata.nodata is not None:
        kept[NODATA] = stored.metadata.nodata
    if stored.metadata.crs is not None:
        kept[CRS] = stored.metadata.crs
    options: dict[str, Any] = {
        "name": name,
        "rgb": "S" in axes,
        "metadata": {METADATA_KEY: kept},
    }
    if named:
        options["axis_labels"] = tuple(letters.lower())
    return data, {**options, **_placement(letters, stored.metadata)}, "image"


def _chunks(shape: tuple[int, ...], axes: str) -> tuple[int, ...]:
    return tuple(
        size if axis == "S" else min(size, MAX_CHUNK) if axis in "YX" else 1
        for size, axis in zip(shape, axes, strict=True)
    )


def _placement(axes: str, metadata: ImageMetadata) -> dict[str, Any]:
    """Scale, position and units of a layer; napari needs a unit for all axes, or for none."""
    units = tuple(metadata.units.get(axis, "pixel") for axis in axes)
    return {
        "scale": tuple(metadata.pixel_size.get(axis, 1.0) for axis in axes),
        "translate": tuple(metadata.origin.get(axis, 0.0) for axis in axes),
        **({"units": units} if all(map(_is_unit, units)) else {}),
    }


def _is_unit(name: str) -> bool:
    return name in pint.get_application_registry()


def describe_image(path: Path, number: int) -> tuple[str, int]:
    """Return the shape and size of an image in words, and its number of pixels."""
    stored = open_image(path, image=number)
    shape, dtype = tuple(stored.data.shape), np.dtype(stored.data.dtype)
    count = math.prod(shape)
    size = f"{count * dtype.itemsize / 1e6:.3g} MB"
    return f"{stored.axes or ''} {' x '.join(map(str, shape))}, {dtype}, {size}".strip(), count
