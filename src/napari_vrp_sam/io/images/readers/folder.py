"""Folders of images, one for each frame."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.frame_files import folder_images, frame_header, read_frame
from napari_vrp_sam.io.images.lazy_stack import LazyStack
from napari_vrp_sam.io.images.reader import ImageReader
from napari_vrp_sam.io.metadata import StoredImage


def _recognises(path: Path, _head: bytes) -> bool:
    return path.is_dir()


def _open(folder: Path, _image: int | None, *, raw: bool) -> StoredImage:
    files = folder_images(folder)
    headers = [frame_header(path, palette=raw) for path in files]
    first = headers[0]
    for path, header in zip(files, headers, strict=True):
        if header.shape[:2] != first.shape[:2]:
            raise InputError(
                f"The images of {folder} differ in size: {files[0].name} is {first.shape[:2]} "
                f"pixels, {path.name} is {header.shape[:2]}; put them into separate folders."
            )
        # Labels have the same meaning in every type, intensities do not.
        if header.dtype != first.dtype and not raw:
            raise InputError(
                f"The images of {folder} differ in type: {files[0].name} is {first.dtype}, "
                f"{path.name} is {header.dtype}; save all with the same type."
            )
    colours = any(len(header.shape) == 3 for header in headers)
    shape = (*first.shape[:2], 3) if colours else first.shape
    dtype = np.result_type(*(header.dtype for header in headers))
    frames = [partial(read_frame, path, colours=colours, palette=raw) for path in files]
    return StoredImage(LazyStack(frames, (len(files),), shape, dtype), "ZYXS" if colours else "ZYX")


READER = ImageReader(
    "folder of images", "the library of each image", (), _recognises, _open, priority=9
)
