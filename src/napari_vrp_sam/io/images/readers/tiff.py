"""TIFF files of every kind, read with tifffile."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import tifffile

from napari_vrp_sam.io.images.reader import ImageReader, report_others
from napari_vrp_sam.io.images.tiff.images import (
    TiffImage,
    has_unknown_axes,
    main_image,
    tiff_images,
)
from napari_vrp_sam.io.images.tiff.metadata import tiff_metadata
from napari_vrp_sam.io.images.tiff.pages import missing_planes, open_pages
from napari_vrp_sam.io.images.tiff.quiet import open_tiff
from napari_vrp_sam.io.metadata import StoredImage

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"EP*\0")
SUFFIXES = (
    ".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".stk", ".svs", ".qptiff", ".ndpi", ".scn",
    ".bif", ".flex", ".gel", ".eer",
)  # fmt: skip


def _recognises(_path: Path, head: bytes) -> bool:
    return head.startswith(MAGIC)


def _open(path: Path, number: int | None, *, raw: bool) -> StoredImage:
    with open_tiff(path) as file:
        images = _images(file, raw=raw)
        image = main_image(images) if number is None else images[number]
        data, axes = open_pages(file, image)
        metadata = tiff_metadata(file, image.series[0])
        missing = missing_planes(image)
    if number is None:
        report_others(path, [one.describe() for one in images], images.index(image))
    if missing:
        _report_missing(path, image, missing)
    return StoredImage(data, axes, metadata, axes_guessed=has_unknown_axes(image))


def _image_names(path: Path) -> list[str]:
    with open_tiff(path) as file:
        images = _images(file, raw=False)
    return [image.name or image.describe() for image in images]


def _images(file: tifffile.TiffFile, *, raw: bool) -> list[TiffImage]:
    images = tiff_images(file, raw=raw)
    if not images:
        raise ValueError("it holds no image")
    return images


def _report_missing(path: Path, image: TiffImage, missing: list[int]) -> None:
    where = np.unravel_index(missing[0], image.lead_shape)
    first = ", ".join(f"{axis} {at}" for axis, at in zip(image.lead_axes, where, strict=True))
    total = math.prod(image.lead_shape)
    warnings.warn(
        f"{path.name} lacks {len(missing)} of its {total} planes, the first at {first}: they are "
        "treated as missing data.",
        stacklevel=4,
    )


READER = ImageReader("TIFF", "tifffile", SUFFIXES, _recognises, _open, _image_names)
