"""TIFF files, read with tifffile."""

from __future__ import annotations

from pathlib import Path

from napari_vrp_sam.io.images.reader import ImageReader
from napari_vrp_sam.io.images.tiff_stack import read_tiff
from napari_vrp_sam.io.metadata import StoredImage

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _recognises(_path: Path, head: bytes) -> bool:
    return head.startswith(MAGIC)


def _open(path: Path, _image: int | None, *, raw: bool) -> StoredImage:  # noqa: ARG001
    data, axes = read_tiff(path)
    return StoredImage(data, axes)


READER = ImageReader("TIFF", "tifffile", (".tif", ".tiff"), _recognises, _open)
