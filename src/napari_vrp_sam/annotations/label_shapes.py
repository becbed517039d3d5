"""Strokes, objects and borders in label images, recognised by their geometry."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

ReadFrame = Callable[[int], NDArray[Any]]
"""Return an annotated frame, shape (Y, X, C), given its index."""
MIN_OBJECTS = 3
"""Fewer single objects are as likely to be classes."""
FEW_OBJECTS, MANY_OBJECTS = 4, 16
"""Up to the first number, objects have to look alike, too; from the second on, they may differ much
in size, and extend over the frame: no image has that many classes of one piece each."""
LIKE_SIZE = {8: 4.0, MANY_OBJECTS - 1: 8.0, 10**9: 30.0}
"""Ratio of the quartiles of the areas up to which objects are of one kind, by the highest number of
objects that it applies to."""
MAX_SIDE = 2048
"""Larger frames are searched at a lower resolution."""


def is_thin(mask: NDArray[np.bool_], radius: float) -> bool:
    """Return True if hardly a pixel is farther than a radius from the outside."""
    from scipy import ndimage

    (box,) = ndimage.find_objects(mask.astype(np.int8))
    padded = np.pad(mask[box], 1)
    depth = ndimage.distance_transform_edt(padded)[padded]
    return bool(np.percentile(depth, 95) <= radius)


def _is_elongated(mask: NDArray[np.bool_]) -> bool:
    """Return True if the largest piece has the area of several squares of its width."""
    from scipy import ndimage
    from skimage import measure

    pieces = measure.label(mask, connectivity=2)
    sizes = np.bincount(pieces.ravel())[1:]
    largest = np.pad(pieces == 1 + sizes.argmax(), 1)
    return bool(sizes.max() >= 3 * (2 * ndimage.distance_transform_edt(largest).max()) ** 2)


def are_strokes(labels: NDArray[Any], frame: NDArray[Any], values: set[int]) -> bool:
    """Return True for thin, sparse labels whose outlines do not follow edges of the image."""
    from scipy import ndimage

    if np.count_nonzero(labels) > 0.25 * labels.size:
        return False
    radius = max(4.0, 0.015 * min(labels.shape))
    masks = [labels == value for value in values]
    if not all(is_thin(mask, radius) and _is_elongated(mask) for mask in masks):
        return False
    pixels = frame.reshape(*labels.shape, -1).astype(np.float64)
    for mask in masks:
        around = ndimage.binary_dilation(mask) & (labels == 0)
        if not around.any() or _difference(pixels[mask], pixels[around]) > 0.6:
            return False
    return True


def _difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the difference of two samples of pixels in robust standard deviations, (N, C)."""
    centres = [np.median(sample, axis=0) for sample in (first, second)]
    spread = sum(
        np.median(abs(sample - centre), axis=0) * 1.4826
        for sample, centre in zip((first, second), centres, strict=True)
    )
    gap = abs(centres[0] - centres[1])
    return float(np.max(2 * gap / np.maximum(spread, 1e-6 + 0.01 * abs(centres[0]))))


def are_objects(
    planes: Mapping[int, NDArray[Any]], read_frame: ReadFrame, values: Mapping[int, set[int]]
) -> bool:
    """Return True if most values are one compact object each, of similar sizes, none in another."""
    richest = max(planes, key=lambda index: len(values[index]))
    count = len(values[richest])
    if count < MIN_OBJECTS:
        return False
    many = count >= MANY_OBJECTS
    areas: list[int] = []
    others = 0
    for index, plane in planes.items():
        step = -(-max(plane.shape) // MAX_SIDE)  # the topology of objects survives
        small = plane[::step, ::step]
        for value in values[index]:
            area = _object_area(small == value, small, largest=1.0 if many else 0.5)
            areas.append(area)
            others += area == 0
    if others > (0.2 if many else 0.1) * len(areas):
        return False
    sizes = [area for area in areas if area]
    few = count <= FEW_OBJECTS
    # Gaps are usual among a part of the classes of a dataset.
    if count <= 8 and max(values[richest]) > count + 1:
        return False
    low, high = (min(sizes), max(sizes)) if few else np.percentile(sizes, (25, 75))
    if high > next(ratio for most, ratio in LIKE_SIZE.items() if count <= most) * low:
        return False
    return not few or _look_alike(planes[richest], read_frame(richest), values[richest])


def _object_area(mask: NDArray[np.bool_], labels: NDArray[Any], largest: float) -> int:
    """Return the area of the only object of a value; 0 if it is not like an object.

    `largest` is the extent that an object may have, as a fraction of the frame.
    """
    from scipy import ndimage
    from skimage import measure

    if not mask.any():
        return 0
    pieces, number = measure.label(mask, return_num=True, connectivity=2)
    sizes = np.bincount(pieces.ravel(), minlength=number + 1)[1:]
    first = int(sizes.argmax())
    if sizes[first] < 0.9 * sizes.sum():
        return 0
    box = ndimage.find_objects(pieces)[first]
    height, width = (part.stop - part.start for part in box)
    if max(height / mask.shape[0], width / mask.shape[1]) > largest:
        return 0
    holes = ndimage.binary_fill_holes(mask[box]) & ~mask[box]
    return 0 if labels[box][holes].any() else int(sizes.sum())


def _look_alike(labels: NDArray[Any], frame: NDArray[Any], values: set[int]) -> bool:
    """Return True if the values are 1, 2, 3, ... and their pixels are hardly different."""
    if values != set(range(1, len(values) + 1)):
        return False
    pixels = frame.reshape(*labels.shape, -1).astype(np.float64)
    samples = [pixels[labels == value] for value in sorted(values)]
    return all(_difference(a, b) < 1 for a, b in itertools.combinations(samples, 2))
