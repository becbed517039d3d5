"""Stacks in TIFF files, read page by page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_vrp_sam.io.frame_files import guarded
from napari_vrp_sam.io.lazy_stack import LazyStack

IMAGEJ_AXES = "TZCYXS"


def imagej_keeps(axes: str) -> bool:
    """Whether ImageJ, which has one order of axes, can tell them again."""
    places = [IMAGEJ_AXES.find(axis) for axis in axes]
    return places == sorted({*places} - {-1})


def read_tiff(path: Path) -> tuple[Any, str]:
    """An array, lazy unless it is a single page, and one letter of T, Z, C, Y, X, S an axis."""
    with tifffile.TiffFile(path) as file:
        if not file.series:
            raise ValueError("it holds no image")
        series = file.series[0]
        shape, dtype, pages = tuple(series.shape), series.dtype, len(series)
        page_shape = tuple(series.keyframe.shape)
        axes = _known_axes(series.axes, shape)
        contiguous = series.dataoffset is not None
        paged = not contiguous and pages > 1 and shape[-len(page_shape) :] == page_shape
        # OME-TIFF spreads a stack over several files, and may leave planes out.
        places = [
            (Path(page.parent.filehandle.path), page.offset)
            for page in (series if paged else ())
            if page is not None
        ]
    kept = [size > 1 or axis in "YX" for size, axis in zip(shape, axes, strict=True)]
    sizes = [size for size, keep in zip(shape, kept, strict=True) if keep]
    lead = len(sizes) - sum(kept[-len(page_shape) :])
    if contiguous:
        data: Any = tifffile.memmap(path, mode="r", series=0).reshape(sizes)
    elif paged and len(places) == pages:
        reads = [partial(_read_page, *place, sizes[lead:]) for place in places]
        data = LazyStack(reads, tuple(sizes[:lead]), tuple(sizes[lead:]), dtype)
    else:
        data = tifffile.imread(path, series=0).reshape(sizes)
    return data, "".join(axis for axis, keep in zip(axes, kept, strict=True) if keep)


def _read_page(path: Path, place: int, shape: Sequence[int]) -> NDArray[Any]:
    """The page whose tags lie at an offset; to count pages up to it would take 0.1 s in 5,000."""

    def read(path: Path) -> NDArray[Any]:
        with tifffile.TiffFile(path) as file:
            file.filehandle.seek(place)
            return np.asarray(tifffile.TiffPage(file, 0).asarray()).reshape(shape)

    return guarded(read, path)


def _known_axes(axes: str, shape: Sequence[int]) -> str:
    """Give axes that the file leaves nameless a letter of ours."""
    known = list(axes.upper())
    free = [letter for letter in "ZT" if letter not in known]
    for index, letter in enumerate(known):
        if letter not in "TZCYXS" and shape[index] > 1 and free:
            known[index] = free.pop(0)
    return "".join(known)
