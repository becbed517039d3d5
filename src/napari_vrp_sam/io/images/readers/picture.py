"""PNG, JPEG, animated GIF and other pictures, read with Pillow."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import UnidentifiedImageError

from napari_vrp_sam.io.images.lazy_stack import LazyStack
from napari_vrp_sam.io.images.pictures import (
    frame_mode,
    open_picture,
    picture_header,
    read_picture,
    to_array,
)
from napari_vrp_sam.io.images.reader import ImageReader
from napari_vrp_sam.io.images.sequential import SequentialStack
from napari_vrp_sam.io.metadata import ImageMetadata, StoredImage

COMMON = (
    ".png", ".apng", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".jp2", ".pgm", ".ppm", ".avif",
)  # fmt: skip


def _recognises(path: Path, head: bytes) -> bool:
    if not head:
        return False
    try:
        with open_picture(path):
            return True
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, NotImplementedError):
        return False


def _open(path: Path, _image: int | None, *, raw: bool) -> StoredImage:
    header = picture_header(path, raw=raw)
    axes = "YX" if len(header.shape) == 2 else "YXS"
    if header.frames == 1:
        frame = LazyStack([partial(read_picture, path, raw=raw)], (), header.shape, header.dtype)
        return StoredImage(frame, axes)
    shape = (header.frames, *header.shape)
    size = header.shape[0], header.shape[1]
    opened = partial(_Animation, mode=frame_mode(header.shape), size=size)
    data = SequentialStack(path, opened, shape, header.dtype)
    return StoredImage(data, "T" + axes, ImageMetadata(**_interval(path)))


class _Animation:
    """Open animation, which Pillow decodes frame by frame."""

    def __init__(self, path: Path, *, mode: str, size: tuple[int, int]) -> None:
        self._picture = open_picture(path)
        self._mode = mode
        self._size = size

    def read(self, index: int) -> NDArray[Any]:
        self._picture.seek(index)
        # Pillow extends the canvas of GIF for frames that exceed it; viewers cut them.
        return to_array(self._picture, self._mode)[: self._size[0], : self._size[1]]

    def close(self) -> None:
        self._picture.close()


def _interval(path: Path) -> dict[str, Any]:
    with open_picture(path) as picture:
        picture.load()  # WebP knows it only then
        milliseconds = picture.info.get("duration")
    if not milliseconds or not math.isfinite(milliseconds):
        return {}
    return {"pixel_size": {"T": milliseconds / 1000}, "units": {"T": "second"}}


READER = ImageReader(
    "PNG, JPEG, animated GIF, APNG and WebP, and other pictures",
    "Pillow",
    COMMON,
    _recognises,
    _open,
    priority=5,
)
