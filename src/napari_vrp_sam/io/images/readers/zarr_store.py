"""OME-Zarr images, plates, zipped ones, and Zarr arrays, read with zarr."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_vrp_sam.io.images.lazy_stack import LazyZarr
from napari_vrp_sam.io.images.reader import ImageReader, report_others
from napari_vrp_sam.io.images.units import unit_name
from napari_vrp_sam.io.images.zarr_arrays.ome_zarr import (
    SUFFIX,
    ZIP_SUFFIXES,
    ZarrImage,
    images_at,
    is_zarr,
    main_image,
    ome_attributes,
    zip_root,
)
from napari_vrp_sam.io.metadata import ImageMetadata, StoredImage


def _recognises(path: Path, head: bytes) -> bool:
    return zip_root(path) is not None if head.startswith(b"PK") else not head and is_zarr(path)


def _open(path: Path, number: int | None, *, raw: bool) -> StoredImage:  # noqa: ARG001
    images = images_at(path)
    image = main_image(images) if number is None else images[number]
    if number is None:
        report_others(path, [other.name for other in images], images.index(image))
    axes = image.axes
    # Many programs write all five axes.
    array = LazyZarr(image.array, path, squeeze=axes is not None)
    remaining = axes and "".join(a for a, r in zip(axes, array.remaining, strict=True) if r)
    return StoredImage(array, remaining, _metadata(image))


def _image_names(path: Path) -> list[str]:
    return [image.name or path.stem for image in images_at(path)]


def _metadata(image: ZarrImage) -> ImageMetadata:
    multiscale, axes = image.multiscale, image.axes
    if multiscale is None or axes is None:
        fill = image.node.attrs.get("_FillValue")
        return ImageMetadata(nodata=float(fill) if isinstance(fill, int | float) else None)
    scale, translation = np.ones(len(axes)), np.zeros(len(axes))
    level: Mapping[str, Any] = multiscale["datasets"][0]
    for step in (
        *level.get("coordinateTransformations", ()),
        *multiscale.get("coordinateTransformations", ()),
    ):
        if "scale" in step:
            scale, translation = scale * step["scale"], translation * step["scale"]
        if "translation" in step:
            translation = translation + step["translation"]
    units = [axis.get("unit") if isinstance(axis, dict) else None for axis in multiscale["axes"]]
    stated = scale.tolist() if "coordinateTransformations" in level else [None] * len(axes)
    places = list(zip(axes, stated, translation.tolist(), units, strict=True))
    channels = ome_attributes(image.node).get("omero", {}).get("channels", ())
    names = tuple(str(channel.get("label") or "") for channel in channels)
    return ImageMetadata(
        # A scale of 1 without a unit says nothing.
        pixel_size={a: s for a, s, _, u in places if a in "TZYX" and s and (u or s != 1)},
        units={a: unit_name(u) for a, _, _, u in places if a in "TZYX" and u},
        origin={a: o for a, _, o, _ in places if a in "TZYX" and o},
        channel_names=names if any(names) else (),
    )


READER = ImageReader(
    "OME-Zarr and Zarr", "zarr", (SUFFIX, *ZIP_SUFFIXES), _recognises, _open, _image_names
)
