"""Labels as TIFF, written page by page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_vrp_sam.files import atomic

IMAGEJ_AXES = "TZCYXS"


def imagej_keeps(axes: str) -> bool:
    """Return whether axes are in the order of ImageJ, so that its TIFF files preserve them."""
    places = [IMAGEJ_AXES.find(axis) for axis in axes]
    return places == sorted({*places} - {-1})


def write_pages(
    path: Path,
    pages: Iterator[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axes: str,
) -> None:
    """Write labels as compressed TIFF page by page, atomically.

    Parameters
    ----------
    path : Path
        Path with the suffix .tif or .tiff.
    pages : iterator of ndarray, shape (Y, X)
        One page for each frame.
    shape : tuple of int
        Leading axes + (Y, X).
    dtype : dtype
    axes : str
        One letter of T, Z, Y, X for each axis.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    with atomic(path) as temporary:
        tifffile.imwrite(
            temporary,
            pages,
            shape=shape,
            dtype=dtype,
            # ImageJ displays its own format best, but does not support 32-bit integers.
            imagej=dtype.itemsize <= 2 and imagej_keeps(axes),
            photometric="minisblack",
            compression="zlib",
            metadata={"axes": axes},
        )
