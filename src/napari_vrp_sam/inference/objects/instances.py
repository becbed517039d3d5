"""Instances: classes of one frame split into objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.inference.objects.cleaning import fill_objects, smooth_outlines
from napari_vrp_sam.inference.objects.settings import ObjectSettings
from napari_vrp_sam.inference.objects.splitting import split_region
from napari_vrp_sam.inference.relabelling.cleaning import fill_holes

HOLE_SHARE = 0.25
"""Area of the largest hole that is filled, as a share of the object around it."""

GAP_SHARE = 0.005
"""The same before splitting, as a share of the typical object: larger holes may be gaps between
touching objects, which show where to split."""

SAMPLED_FRAMES = 8
"""Largest number of frames from which the typical object is estimated."""

SPECK_PIXELS = 0.1
"""Share of the pixels of a class; the smallest objects that have it are left out of the median."""


class Instances(NamedTuple):
    """Objects of one frame."""

    labels: NDArray[np.int32]
    """Id of the object of each pixel, shape (Y, X): 1, 2, ... in row order; 0 for none."""
    classes: NDArray[np.int64]
    """Class of each object by its id, shape (N + 1,); the first entry is 0."""


def split_instances(
    classes: NDArray[np.integer] | NDArray[np.bool_],
    settings: ObjectSettings = ObjectSettings(),
    typical: Mapping[int, float] | None = None,
) -> Instances:
    """Split each class into objects.

    Parameters
    ----------
    classes : ndarray of integers, shape (Y, X)
        Class of each pixel, 0 is background.
    settings : ObjectSettings
    typical : mapping of int to float, optional
        Area of the typical object of each class in pixels; default: estimated from this frame.

    Returns
    -------
    Instances

    Examples
    --------
    >>> frame = np.array([[1, 1, 0, 2], [0, 0, 0, 2]])
    >>> split_instances(frame).labels
    array([[1, 1, 0, 2],
           [0, 0, 0, 2]], dtype=int32)
    """
    typical = typical_sizes([classes], settings) if typical is None else typical
    found = _split(classes, settings, typical)
    areas = np.bincount(found.labels.ravel(), minlength=len(found.classes))
    least = [settings.least_size(int(c), typical) for c in found.classes]
    kept = np.flatnonzero(areas >= np.maximum(least, 1))
    kept = kept[kept > 0]
    ids = np.zeros(len(found.classes), np.int32)
    ids[kept] = np.arange(1, len(kept) + 1)
    labels = smooth_outlines(ids[found.labels], settings.smoothing)
    return Instances(labels, np.concatenate([[0], found.classes[kept]]).astype(np.int64))


def sampled_frames(count: int) -> list[int]:
    """Return the indices of the frames from which the typical object is estimated.

    Examples
    --------
    >>> sampled_frames(15)
    [0, 2, 4, 6, 8, 10, 12, 14]
    """
    return sorted({round(index) for index in np.linspace(0, count - 1, SAMPLED_FRAMES).tolist()})


def typical_sizes(
    frames: Iterable[NDArray[np.integer] | NDArray[np.bool_]], settings: ObjectSettings
) -> dict[int, float]:
    """Estimate the area of the typical object of each class in pixels.

    It is the median of the objects, without the smallest ones that have a tenth of the pixels:
    these may be many specks.

    Parameters
    ----------
    frames : iterable of ndarrays of integers, each of shape (Y, X)
    settings : ObjectSettings
    """
    areas: dict[int, list[int]] = {}
    for frame in frames:
        found = _split(frame, settings, {})
        counts = np.bincount(found.labels.ravel(), minlength=len(found.classes))
        for class_id, area in zip(found.classes[1:], counts[1:], strict=True):
            areas.setdefault(int(class_id), []).append(int(area))
    return {class_id: _median_without_specks(found) for class_id, found in areas.items()}


def _median_without_specks(areas: list[int]) -> float:
    ordered = np.sort(areas)
    counted = np.cumsum(ordered) > SPECK_PIXELS * ordered.sum()
    return float(np.median(ordered[counted]))


def _split(
    classes: NDArray[np.integer] | NDArray[np.bool_],
    settings: ObjectSettings,
    typical: Mapping[int, float],
) -> Instances:
    """Fill holes and split the regions of each class."""
    from scipy import ndimage
    from skimage.measure import label

    components = label(classes, background=0, connectivity=2).astype(np.int32)
    # Each region in its bounding box, because most of a frame is background.
    boxes = ndimage.find_objects(components)
    instances = np.zeros_like(components)
    class_of = [0]
    for number, box in enumerate(boxes, start=1):
        region = components[box] == number
        class_id = int(classes[box][region][0])
        size = typical.get(class_id)
        if settings.fill_holes:
            area = region.sum() if size is None else size
            region = fill_holes(region, components[box] == 0, GAP_SHARE * float(area))
        pieces = split_region(region, split_strength=settings.split_strength, typical_area=size)
        if settings.fill_holes:
            pieces = fill_objects(pieces, components[box] == 0, HOLE_SHARE)
            region = pieces > 0
        instances[box][region] = pieces[region] + len(class_of) - 1
        class_of += [class_id] * int(pieces.max())
    return Instances(instances, np.array(class_of, np.int64))
