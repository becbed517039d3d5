"""Stacks in TIFF files, read page by page."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.frame_files import alike, guarded, images_of
from napari_vrp_sam.io.images.lazy_stack import LazyStack

IMAGEJ_AXES = "TZCYXS"

PLAIN_KINDS = ("generic", "imagej", "shaped", "uniform")
"""Of TIFF, as tifffile names them, that anybody's program may have written."""


def imagej_keeps(axes: str) -> bool:
    """Whether ImageJ, which has one order of axes, can tell them again."""
    places = [IMAGEJ_AXES.find(axis) for axis in axes]
    return places == sorted({*places} - {-1})


def read_tiff(path: Path) -> tuple[Any, str]:
    """Open a TIFF file; of several images that are alike, one is a step of Z (or T).

    Parameters
    ----------
    path : Path

    Returns
    -------
    array : ndarray or lazy array
        Lazy unless it is a single compressed page.
    axes : str
        One letter for each axis, of T, Z, C, Y, X, S where the file or we know one.

    Raises
    ------
    InputError
        If several images make no stack, and none is known to be the main one.
    """
    with tifffile.TiffFile(path) as file:
        images = images_of(file)
        kept, sizes, axes = _layout(images[0])
        letter = next((letter for letter in "ZT" if letter not in axes), "")
        if len(images) > 1 and not (letter and alike(images)):
            _tell_of_several(path, images)
            images = images[:1]
        alone = len(images) == 1
        opens = [_opening(file, image, kept, sizes, alone=alone) for image in images]
        dtype = images[0].dtype
    if alone:
        return opens[0](), axes
    return LazyStack(opens, (len(opens),), tuple(sizes), dtype), letter + axes


def _layout(image: tifffile.TiffPageSeries) -> tuple[list[bool], list[int], str]:
    """Which axes of an image are more than one long, their sizes, and their letters."""
    shape = tuple(image.shape)
    axes = _known_axes(image.axes, shape)
    kept = [size > 1 or axis in "YX" for size, axis in zip(shape, axes, strict=True)]
    sizes = [size for size, keep in zip(shape, kept, strict=True) if keep]
    return kept, sizes, "".join(axis for axis, keep in zip(axes, kept, strict=True) if keep)


def _tell_of_several(path: Path, images: list[tifffile.TiffPageSeries]) -> None:
    """Of formats of microscopes and slide scanners, the first image is the main one."""
    first = images[0]
    if first.kind not in PLAIN_KINDS:
        warnings.warn(
            f"{path} holds {len(images)} images: only the first is used, of shape {first.shape}.",
            stacklevel=2,
        )
        return
    other = next((image for image in images if not alike([first, image])), images[1])
    raise InputError(
        f"{path} holds {len(images)} images that make no stack, such as {first.shape} of "
        f"{first.dtype} and {other.shape} of {other.dtype}: save each as a file of its own."
    )


def _opening(
    file: tifffile.TiffFile,
    image: tifffile.TiffPageSeries,
    kept: list[bool],
    sizes: list[int],
    *,
    alone: bool,
) -> Callable[[], Any]:
    """How to open an image when the file is closed."""
    path = Path(file.filehandle.path)
    if image.dataoffset is not None:
        at_home = image.keyframe.parent
        # A type comes without the byte order, which is the file's.
        dtype = np.dtype(image.dtype).newbyteorder(at_home.byteorder)
        place = Path(at_home.filehandle.path), image.dataoffset
        return partial(_map, *place, dtype, tuple(sizes))
    page_shape = tuple(image.keyframe.shape)
    lead = len(sizes) - sum(kept[-len(page_shape) :])
    # OME-TIFF spreads a stack over several files, and may leave planes out.
    reads = [
        partial(_read_page, Path(page.parent.filehandle.path), page.offset, sizes[lead:])
        for page in image
        if page is not None
    ]
    # A page alone is read at once, not anew with every look at it.
    paged = tuple(image.shape)[-len(page_shape) :] == page_shape
    if not paged or len(reads) != math.prod(sizes[:lead]) or (alone and not lead):
        return partial(_read_image, path, file.series.index(image), sizes)
    if not lead:
        return reads[0]
    return partial(_itself, LazyStack(reads, tuple(sizes[:lead]), tuple(sizes[lead:]), image.dtype))


def _itself(data: LazyStack) -> LazyStack:
    return data


def _map(path: Path, place: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    def read(path: Path) -> NDArray[Any]:
        return np.memmap(path, dtype, "r", place, shape)

    return guarded(read, path)


def _read_image(path: Path, index: int, shape: Sequence[int]) -> NDArray[Any]:
    def read(path: Path) -> NDArray[Any]:
        return np.asarray(tifffile.imread(path, series=index)).reshape(shape)

    return guarded(read, path)


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
