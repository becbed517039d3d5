"""Annotated frames too large to be learned whole: the parts that show what was marked."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError

MOST = 3
"""Parts of one frame; more take longer and say the same."""

ENOUGH = 0.95
"""Of what is marked: further parts show too little that is new."""

LARGEST_PART = 1536
"""Pixels a side of parts, where the model does not say: three of them and their views, which are
encoded too, fill a gigabyte and a half."""

BLOCK = 32
"""Pixels; a part need not lie more exactly."""


def windowed(
    references: Sequence[Reference], side: int, part: int | None = None
) -> list[Reference]:
    """References with large frames replaced by parts of them.

    All classes on a frame get the same parts, so that one is background to the other there.

    Parameters
    ----------
    references : sequence of Reference
    side : int
        Longest side in pixels of frames that are left whole.
    part : int, optional
        Of parts; the same unless given.

    Returns
    -------
    list of Reference
        Of parts, `frame` is negative: it tells which of them are the same, and is no index of the
        stack.
    """
    if all(max(r.mask.shape) <= side for r in references):
        return list(references)
    by_image: dict[Hashable, list[Reference]] = {}
    for reference in references:
        by_image.setdefault(image_key(reference), []).append(reference)
    parts: list[Reference] = []
    number = 0
    for on_image in by_image.values():
        if max(on_image[0].mask.shape) <= side:
            parts += on_image
            continue
        for rows, columns in _windows([r.mask for r in on_image], part or side):
            number -= 1
            found = (_part(reference, rows, columns, number) for reference in on_image)
            parts += [part for part in found if part is not None]
    return parts


def check_images(references: Sequence[Reference]) -> None:
    """Refuse references that say one frame and show two.

    Raises
    ------
    InputError
    """
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
                f"Two references say that they show frame {reference.frame}, and show different "
                "images: `frame` is a frame of the stack to be segmented; leave it out for images "
                "from elsewhere."
            )


def image_key(reference: Reference) -> Hashable:
    """Equal for references on one image, be it read from the stack once or for each of them."""
    if reference.frame is not None:
        return reference.frame
    image = reference.image
    return image.ctypes.data, image.shape, image.strides


def _part(reference: Reference, rows: slice, columns: slice, number: int) -> Reference | None:
    """What a reference says about a part of its frame; None if nothing."""
    mask = reference.mask[rows, columns]
    if reference.kind != "mask" and not mask.any():
        return None
    ignored = None if reference.ignored is None else reference.ignored[rows, columns]
    image: NDArray[Any] = reference.image[rows, columns]
    return replace(reference, image=image, mask=mask, ignored=ignored, frame=number)


def _windows(marks: Sequence[NDArray[np.float32]], side: int) -> Iterator[tuple[slice, slice]]:
    """Parts of one large frame as rows and columns, the one that shows most first.

    A marked pixel counts the more, the fewer there are of its class.
    """
    height, width = marks[0].shape
    left = sum((_blocks(m) / m.sum() for m in marks if m.any()), start=_blocks(marks[0]) * 0)
    total = left.sum()
    tall, wide = (min(max(1, side // BLOCK), n) for n in left.shape)
    for _ in range(MOST):
        sums = np.pad(left, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
        inside = (
            sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
        )
        # The middle of equally rich ones: what is marked has its surroundings with it.
        best = np.argwhere(inside >= inside.max() - 1e-6 * max(total, 1))
        row, column = best[np.abs(best - best.mean(axis=0)).sum(axis=1).argmin()].tolist()
        left[row : row + tall, column : column + wide] = 0
        top = max(0, min(row * BLOCK, height - side))
        start = max(0, min(column * BLOCK, width - side))
        yield slice(top, min(top + side, height)), slice(start, min(start + side, width))
        if left.sum() <= (1 - ENOUGH) * total:
            return


def _blocks(mask: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sums over blocks of BLOCK x BLOCK pixels."""
    rows, columns = (np.arange(0, n, BLOCK) for n in mask.shape)
    by_row = np.add.reduceat(mask, rows, axis=0, dtype=np.float64)
    return np.add.reduceat(by_row, columns, axis=1)
