"""Label images of one call: compressed TIFF, or PNG for one frame."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic
from napari_vrp_sam.io.images.frame_files import TIFF_SUFFIXES
from napari_vrp_sam.io.labels.tiff import write_pages


def write_labels(path: str | os.PathLike[str], labels: NDArray[Any], axes: str) -> None:
    """Write a label image atomically, as compressed TIFF or, for one frame, as PNG.

    Parameters
    ----------
    path : str or path
        Path with the suffix .tif, .tiff or, for one frame, .png.
    labels : ndarray of unsigned integers
    axes : str
        One letter of T, Z, Y, X for each axis of the labels.

    Raises
    ------
    InputError
        If the file cannot be written, or the format does not support the labels.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (*TIFF_SUFFIXES, ".png"):
        raise InputError(f"Labels cannot be written to {path.name}: use .tif or .png.")
    if suffix == ".png":
        if labels.ndim != 2 or labels.dtype.itemsize > 2:
            raise InputError(
                f"{path.name} cannot hold a stack or more than 65535 labels: use .tif."
            )
        with atomic(path) as temporary:
            Image.fromarray(labels).save(temporary)
        return
    pages = labels.reshape(-1, *labels.shape[-2:])
    write_pages(path, iter(pages), labels.shape, labels.dtype, axes)
