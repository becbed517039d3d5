"""Clean-up of objects: holes are filled and outlines smoothed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.inference.relabelling.cleaning import fill_holes


def fill_objects(
    labels: NDArray[np.int32], background: NDArray[np.bool_], share: float
) -> NDArray[np.int32]:
    """Fill the holes of each object, but not the gaps between several objects.

    Parameters
    ----------
    labels : ndarray of int32, shape (Y, X)
        Objects, numbered from 1.
    background : ndarray of bool, shape (Y, X)
        Pixels without a class.
    share : float
        Area of the largest hole to fill, as a share of the object.

    Returns
    -------
    ndarray of int32, shape (Y, X)
    """
    from scipy import ndimage

    filled = labels.copy()
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        one = labels[box] == number
        free = background[box] & (labels[box] == 0)
        filled[box][fill_holes(one, free, share * one.sum())] = number
    return filled


def smooth_outlines(labels: NDArray[np.int32], sigma: float) -> NDArray[np.int32]:
    """Smooth the outlines of objects and the borders between them; none is lost or broken up.

    Each pixel goes to the object, or to the background, that has the largest share of its
    surroundings.

    Parameters
    ----------
    labels : ndarray of int32, shape (Y, X)
        Objects, numbered from 1.
    sigma : float
        Standard deviation of the Gaussian filter in pixels.

    Returns
    -------
    ndarray of int32, shape (Y, X)
    """
    from scipy import ndimage

    if sigma <= 0 or not labels.any():
        return labels
    best = ndimage.gaussian_filter((labels == 0).astype(np.float32), sigma)
    smooth = np.zeros_like(labels)
    margin = int(np.ceil(4 * sigma))
    boxes = ndimage.find_objects(labels)
    for number, box in enumerate(boxes, start=1):
        wide = tuple(slice(max(0, s.start - margin), s.stop + margin) for s in box)
        share = ndimage.gaussian_filter((labels[wide] == number).astype(np.float32), sigma)
        wins = share > best[wide]
        best[wide][wins] = share[wins]
        smooth[wide][wins] = number
    return _repaired(smooth, labels, boxes)


def _repaired(
    smooth: NDArray[np.int32], labels: NDArray[np.int32], boxes: list[tuple[slice, slice]]
) -> NDArray[np.int32]:
    """Restore the objects that smoothing has removed or broken up."""
    from skimage.measure import label

    for number, box in enumerate(boxes, start=1):
        wide = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
        before, after = labels[wide] == number, smooth[wide] == number
        if label(after, connectivity=2).max() != label(before, connectivity=2).max():
            smooth[wide][after & ~before] = labels[wide][after & ~before]
            smooth[wide][before] = number
    return smooth
