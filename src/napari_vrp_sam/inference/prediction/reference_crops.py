"""Crops of annotated frames that are too large to be learned as a whole."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError

MAX_CROPS = 3
"""Largest number of crops of a frame; more take longer without adding information."""

ENOUGH = 0.95
"""Share of the marked pixels beyond which further crops add too little."""

LARGEST_CROP = 1536
"""Side of crops in pixels for models without an input size: three of them and their augmented views
fill 1.5 GB."""

BLOCK = 32
"""Crops are placed on a grid of this many pixels."""


def crop_references(
    references: Sequence[Reference], side: int, crop: int | None = None
) -> list[Reference]:
    """Replace references with large frames by crops of them.

    All classes on a frame get the same crops, so that one is background to the other.

    Parameters
    ----------
    references : sequence of Reference
    side : int
        Longest side in pixels of frames that are not cropped.
    crop : int, optional
        Side of the crops in pixels; default: `side`.

    Returns
    -------
    list of Reference
        The `frame` of a crop is negative: it is equal for the classes of one crop, and is not an
        index of the stack.
    """
    if all(max(r.mask.shape) <= side for r in references):
        return list(references)
    by_image: dict[Hashable, list[Reference]] = {}
    for reference in references:
        by_image.setdefault(image_key(reference), []).append(reference)
    crops: list[Reference] = []
    number = 0
    for on_image in by_image.values():
        if max(on_image[0].mask.shape) <= side:
            crops += on_image
            continue
        marks = [r.mask for r in on_image]
        marks += [r.negative.astype(np.float32) for r in on_image if r.negative is not None]
        size: tuple[int, int] = marks[0].shape
        blocks = [block_sums(mark, size) for mark in marks]
        for rows, columns in choose_crops(blocks, size, crop or side):
            number -= 1
            found = (_crop(reference, rows, columns, number) for reference in on_image)
            crops += [one for one in found if one is not None]
    return crops


def check_images(references: Sequence[Reference]) -> None:
    """Raise `InputError` if references with the same frame have different images."""
    shown: dict[int, NDArray[Any]] = {}
    for reference in references:
        if reference.frame is None:
            continue
        image = shown.setdefault(reference.frame, reference.image)
        with_gaps = image.dtype.kind == reference.image.dtype.kind == "f"
        if image is not reference.image and not np.array_equal(
            image, reference.image, equal_nan=with_gaps
        ):
            raise InputError(
                f"Two references have the frame {reference.frame} but different images: `frame` is "
                "the index of a frame of the stack; omit it for images from elsewhere."
            )


def image_key(reference: Reference) -> Hashable:
    """Return a key that is equal for references on the same image."""
    if reference.frame is not None:
        return reference.frame
    image = reference.image
    return image.ctypes.data, image.shape, image.strides


def _crop(reference: Reference, rows: slice, columns: slice, number: int) -> Reference | None:
    """Crop a reference; return None if the crop contains no annotation."""
    image: NDArray[Any] = reference.image[rows, columns]
    mask = reference.mask[rows, columns]
    ignored, negative = (
        None if pixels is None else pixels[rows, columns]
        for pixels in (reference.ignored, reference.negative)
    )
    marked = mask.any() or (negative is not None and negative.any())
    if reference.kind != "mask" and not marked:
        return None
    return replace(
        reference, image=image, mask=mask, frame=number, ignored=ignored, negative=negative
    )


def choose_crops(
    blocks: Sequence[NDArray[np.float64]], size: tuple[int, int], side: int
) -> Iterator[tuple[slice, slice]]:
    """Choose the crops of a large frame as rows and columns, the most informative one first.

    The weight of a marked pixel is inverse to the number of marked pixels of its class.

    Parameters
    ----------
    blocks : sequence of ndarray
        Number of marked pixels of each class by block; see `block_sums`.
    size : tuple of int
        Height and width of the frame.
    side : int
        Side of the crops in pixels.
    """
    height, width = size
    left = sum((b / b.sum() for b in blocks if b.any()), start=blocks[0] * 0)
    total = left.sum()
    tall, wide = (min(max(1, side // BLOCK), n) for n in left.shape)
    for _ in range(MAX_CROPS):
        sums = np.pad(left, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
        inside = (
            sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
        )
        # The middle one of equally good crops, so that marks are surrounded by context.
        best = np.argwhere(inside >= inside.max() - 1e-6 * max(total, 1))
        row, column = best[np.abs(best - best.mean(axis=0)).sum(axis=1).argmin()].tolist()
        left[row : row + tall, column : column + wide] = 0
        top = max(0, min(row * BLOCK, height - side))
        start = max(0, min(column * BLOCK, width - side))
        yield slice(top, min(top + side, height)), slice(start, min(start + side, width))
        if left.sum() <= (1 - ENOUGH) * total:
            return


def block_sums(
    mask: NDArray[Any],
    size: tuple[int, int],
    part: tuple[slice, slice] | None = None,
    sums: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Sum over blocks of BLOCK x BLOCK pixels.

    Parameters
    ----------
    mask : ndarray, shape (Y, X)
    size : tuple of int
        Height and width of the frame.
    part : tuple of slice, optional
        Rows and columns of the mask in the frame, which start at multiples of BLOCK.
    sums : ndarray, optional
        Sums of the frame, to which those of the mask are added in place.
    """
    rows, columns = (np.arange(0, n, BLOCK) for n in mask.shape)
    by_row = np.add.reduceat(mask, rows, axis=0, dtype=np.float64)
    found: NDArray[np.float64] = np.add.reduceat(by_row, columns, axis=1)
    if part is None and mask.shape == size:
        return found
    if sums is None:
        sums = np.zeros([-(-n // BLOCK) for n in size])
    top, left = (0, 0) if part is None else (part[0].start // BLOCK, part[1].start // BLOCK)
    sums[top : top + len(found), left : left + found.shape[1]] += found
    return sums
