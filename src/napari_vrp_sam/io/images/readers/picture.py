"""PNG, JPEG and other pictures, read with Pillow."""

from __future__ import annotations

from pathlib import Path

from napari_vrp_sam.io.images.frame_files import PICTURE_SUFFIXES, read_frame
from napari_vrp_sam.io.images.reader import ImageReader
from napari_vrp_sam.io.metadata import StoredImage

MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def _recognises(_path: Path, head: bytes) -> bool:
    return head.startswith(MAGIC)


def _open(path: Path, _image: int | None, *, raw: bool) -> StoredImage:
    picture = read_frame(path, palette=raw)
    return StoredImage(picture, "YX" if picture.ndim == 2 else "YXS")


READER = ImageReader("PNG, JPEG", "Pillow", PICTURE_SUFFIXES, _recognises, _open)
