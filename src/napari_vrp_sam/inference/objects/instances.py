"""Instances: classes of one frame split into objects."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NECK = 0.2
"""Depth of a neck between two objects on a logarithmic scale: narrower than exp(-0.2) = 82 % of the
thinner one. A compromise: round nuclei are best split at shallower necks, crawling cells, which
have waists, at deeper ones."""

PIXEL_STEPS = 2.0
"""Pixels added to each width, so that the pixel steps of outlines are not mistaken for necks."""


class Instances(NamedTuple):
    """Objects of one frame."""

    labels: NDArray[np.int32]
    """Id of the object of each pixel, shape (Y, X): 1, 2, ... in row order; 0 for none."""
    classes: NDArray[np.int64]
    """Class of each object by its id, shape (N + 1,); the first entry is 0."""


def split_instances(
    classes: NDArray[np.integer] | NDArray[np.bool_], *, split: bool = True, min_size: int = 0
) -> Instances:
    """Split each class into objects.

    Parameters
    ----------
    classes : ndarray of integers, shape (Y, X)
        Class of each pixel, 0 is background.
    split : bool
        Split touching objects at their necks (watershed of the distance to the border); otherwise
        connected pixels, also by a corner, are one object.
    min_size : int
        Smaller objects (pixels) are removed.

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
    from scipy import ndimage
    from skimage.measure import label

    components = label(classes, background=0, connectivity=2).astype(np.int32)
    # Each object in its bounding box, because most of a frame is background.
    boxes = ndimage.find_objects(components)
    instances = np.zeros_like(components)
    class_of = [0]
    for number, box in enumerate(boxes, start=1):
        component = components[box] == number
        pieces = _pieces(component) if split else component.astype(np.int32)
        kept = np.flatnonzero(np.bincount(pieces.ravel())[1:] >= max(min_size, 1)) + 1
        ids = np.zeros(pieces.max() + 1, np.int32)
        ids[kept] = np.arange(len(kept)) + len(class_of)
        instances[box][component] = ids[pieces[component]]
        class_of += [int(classes[box][component][0])] * len(kept)
    return Instances(instances, np.array(class_of, np.int64))


def _pieces(component: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Split a connected component at its necks; ids start at 1."""
    from scipy import ndimage
    from skimage.measure import label
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    padded = np.pad(component, 1)
    distance = ndimage.distance_transform_edt(padded)
    # A difference of logarithms is a ratio of widths, so the same relative neck splits small and
    # large objects.
    cores = label(h_maxima(np.log(distance + PIXEL_STEPS), NECK), connectivity=2)
    if cores.max() <= 1:
        return component.astype(np.int32)
    pieces: NDArray[np.int32] = watershed(-distance, cores, mask=padded, connectivity=2)
    return pieces[1:-1, 1:-1].astype(np.int32)
