"""Metadata of an image that a viewer shows: from the layer, and from the file that it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.opening import open_image
from napari_vrp_sam.io.metadata import ImageMetadata

NO_UNITS = ("", "pixel", "dimensionless")


def layer_metadata(
    axes: str,
    shape: Sequence[int],
    *,
    scale: Sequence[float],
    translate: Sequence[float],
    units: Sequence[str],
    source: Path | None = None,
) -> ImageMetadata:
    """Return the metadata of an image layer.

    Viewers do not keep all that a file stores: its place on a map, and often its calibration. A
    scale that the user has set takes precedence.

    Parameters
    ----------
    axes : str
        One letter for each axis of the image; S, if present, has no scale.
    shape : sequence of int
        Shape of the image.
    scale, translate : sequence of float
        Size of a pixel and position of the first one along each axis.
    units : sequence of str
        Their units.
    source : Path, optional
        File of the image.
    """
    stored = _file_metadata(source, axes, shape)
    letters = axes.replace("S", "")
    by_axis = {
        axis: (float(size), float(place), str(unit))
        for axis, size, place, unit in zip(letters, scale, translate, units, strict=False)
        if axis in "TZYX"
    }
    known = {axis: unit for axis, (*_, unit) in by_axis.items() if unit not in NO_UNITS}
    scaled = any(size != 1 or place != 0 for size, place, _ in by_axis.values())
    sizes = {axis: size for axis, (size, *_) in by_axis.items()}
    places = {axis: place for axis, (_, place, _) in by_axis.items()}
    if known:
        kept = {axis: size for axis, size in sizes.items() if axis in known}
        origin = {axis: places[axis] for axis in known}
        return replace(stored, pixel_size=kept, units=known, origin=origin)
    if not scaled or _equal(sizes, stored.pixel_size):
        return stored
    return replace(stored, pixel_size=sizes, units={}, origin=places)


def _file_metadata(source: Path | None, axes: str, shape: Sequence[int]) -> ImageMetadata:
    """Return the metadata of a file, if it still holds an image of this height and width."""
    if source is None:
        return ImageMetadata()
    try:
        stored = open_image(source)
    except InputError:  # opened by another plugin, or moved
        return ImageMetadata()
    found = dict(zip(stored.axes or "", stored.data.shape, strict=False))
    shown = dict(zip(axes, shape, strict=False))
    same = all(found.get(axis) == shown.get(axis) for axis in "YX")
    return stored.metadata if same else ImageMetadata()


def _equal(sizes: Mapping[str, float], stored: Mapping[str, float]) -> bool:
    return all(axis in stored and np.isclose(stored[axis], sizes[axis]) for axis in "YX")
