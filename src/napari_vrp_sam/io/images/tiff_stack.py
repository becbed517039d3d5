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
from napari_vrp_sam.io.images.frame_files import (
    explain_read_errors,
    full_size_images,
    same_layout,
)
from napari_vrp_sam.io.images.lazy_stack import LazyStack

GENERIC_KINDS = ("generic", "imagej", "shaped", "uniform")
"""Kinds of TIFF, in the terms of tifffile, that are not specific to a microscope or scanner."""


@explain_read_errors
def read_tiff(path: Path) -> tuple[Any, str]:
    """Open a TIFF file; several images with the same layout are stacked along Z (or T).

    Parameters
    ----------
    path : Path

    Returns
    -------
    array : ndarray or lazy array
        Lazy unless it is a single compressed page.
    axes : str
        One letter for each axis: T, Z, C, Y, X, S, or another one of the file.

    Raises
    ------
    InputError
        If several images differ in layout, and none of them is known to be the main image.
    """
    with tifffile.TiffFile(path) as file:
        images = full_size_images(file)
        remaining, sizes, axes = _layout(images[0])
        stack_axis = next((letter for letter in "ZT" if letter not in axes), "")
        if len(images) > 1 and not (stack_axis and same_layout(images)):
            _warn_or_refuse(path, images)
            images = images[:1]
        alone = len(images) == 1
        readers = [_image_reader(file, image, remaining, sizes, alone=alone) for image in images]
        dtype = images[0].dtype
    if alone:
        return readers[0](), axes
    return LazyStack(readers, (len(readers),), tuple(sizes), dtype), stack_axis + axes


def _layout(image: tifffile.TiffPageSeries) -> tuple[list[bool], list[int], str]:
    """Which axes of an image remain when it is squeezed, their sizes, and their letters."""
    shape = tuple(image.shape)
    axes = _known_axes(image.axes, shape)
    remaining = [size > 1 or axis in "YX" for size, axis in zip(shape, axes, strict=True)]
    sizes = [size for size, remains in zip(shape, remaining, strict=True) if remains]
    return remaining, sizes, "".join(a for a, r in zip(axes, remaining, strict=True) if r)


def _known_axes(axes: str, shape: Sequence[int]) -> str:
    """Replace axes of unknown meaning by Z, then by T."""
    known = list(axes.upper())
    free = [letter for letter in "ZT" if letter not in known]
    for index, letter in enumerate(known):
        if letter not in "TZCYXS" and shape[index] > 1 and free:
            known[index] = free.pop(0)
    return "".join(known)


def _warn_or_refuse(path: Path, images: list[tifffile.TiffPageSeries]) -> None:
    first = images[0]
    if first.kind not in GENERIC_KINDS:  # microscopes and slide scanners: the first image is main
        warnings.warn(
            f"{path} holds {len(images)} images: only the first is used, of shape {first.shape}.",
            stacklevel=2,
        )
        return
    other = next((image for image in images if not same_layout([first, image])), images[1])
    raise InputError(
        f"{path} holds {len(images)} images that do not form a stack, such as {first.shape} of "
        f"{first.dtype} and {other.shape} of {other.dtype}: save each as a separate file."
    )


def _image_reader(
    file: tifffile.TiffFile,
    image: tifffile.TiffPageSeries,
    remaining: list[bool],
    sizes: list[int],
    *,
    alone: bool,
) -> Callable[[], Any]:
    """Return a function that opens an image after the file was closed."""
    path = Path(file.filehandle.path)
    if image.dataoffset is not None:
        parent = image.keyframe.parent
        # The dtype of an image lacks the byte order of its file.
        dtype = np.dtype(image.dtype).newbyteorder(parent.byteorder)
        source = Path(parent.filehandle.path)
        return partial(_map_image, source, image.dataoffset, dtype, tuple(sizes))
    page_shape = tuple(image.keyframe.shape)
    lead = len(sizes) - sum(remaining[-len(page_shape) :])
    # OME-TIFF may distribute a stack over several files, and omit planes.
    readers = [
        partial(_read_page, Path(page.parent.filehandle.path), page.offset, sizes[lead:])
        for page in image
        if page is not None
    ]
    # A single page is read now instead of each time it is indexed.
    paged = tuple(image.shape)[-len(page_shape) :] == page_shape
    if not paged or len(readers) != math.prod(sizes[:lead]) or (alone and not lead):
        return partial(_read_image, path, file.series.index(image), sizes)
    if not lead:
        return readers[0]
    stack = LazyStack(readers, tuple(sizes[:lead]), tuple(sizes[lead:]), image.dtype)
    return partial(_return, stack)


def _return(stack: LazyStack) -> LazyStack:  # unlike a lambda, it can be pickled
    return stack


@explain_read_errors
def _map_image(
    path: Path, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    return np.memmap(path, dtype, "r", offset, shape)


@explain_read_errors
def _read_image(path: Path, index: int, shape: Sequence[int]) -> NDArray[Any]:
    return np.asarray(tifffile.imread(path, series=index)).reshape(shape)


@explain_read_errors
def _read_page(path: Path, offset: int, shape: Sequence[int]) -> NDArray[Any]:
    """Read the page with tags at an offset; finding one of 5,000 by number would take 0.1 s."""
    with tifffile.TiffFile(path) as file:
        file.filehandle.seek(offset)
        return np.asarray(tifffile.TiffPage(file, 0).asarray()).reshape(shape)
