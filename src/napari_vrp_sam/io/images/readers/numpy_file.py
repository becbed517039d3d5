"""NumPy arrays: .npy, mapped into memory, and .npz."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from napari_vrp_sam.io.images.reader import ImageReader, report_others
from napari_vrp_sam.io.metadata import StoredImage


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(b"\x93NUMPY") or (head[:2] == b"PK" and path.suffix.lower() == ".npz")


def _open(path: Path, number: int | None, *, raw: bool) -> StoredImage:  # noqa: ARG001
    try:
        opened = np.load(path, mmap_mode="r")
        if isinstance(opened, np.ndarray):
            return StoredImage(opened, None)
        with opened:
            names = _image_names(path)
            if number is None:
                number = max(range(len(names)), key=lambda at: math.prod(opened[names[at]].shape))
                report_others(path, names, number)
            return StoredImage(opened[names[number]], None)
    except ValueError as error:
        if "pickle" in str(error) or "Python objects" in str(error):
            raise ValueError("it holds Python objects and not an array of numbers") from error
        raise


def _image_names(path: Path) -> list[str]:
    opened = np.load(path, mmap_mode="r")
    if isinstance(opened, np.ndarray):
        return [path.stem]
    with opened:
        names = [name for name in opened.files if opened[name].ndim > 1]
    if not names:
        raise ValueError("it holds no array with two axes or more")
    return names


READER = ImageReader("NumPy", "NumPy", (".npy", ".npz"), _recognises, _open, _image_names)
