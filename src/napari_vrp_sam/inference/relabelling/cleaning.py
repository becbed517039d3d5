"""Clean-up of masks: holes are filled, and small pieces removed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def fill_holes(
    region: NDArray[np.bool_], background: NDArray[np.bool_], largest: float = np.inf
) -> NDArray[np.bool_]:
    """Fill the holes of a region.

    Parameters
    ----------
    region : ndarray of bool, shape (Y, X)
    background : ndarray of bool, shape (Y, X)
        Pixels without a class; a hole that contains another class is kept.
    largest : float
        Area of the largest hole to fill in pixels; default: any.

    Returns
    -------
    ndarray of bool, shape (Y, X)

    Examples
    --------
    >>> ring = np.ones((3, 3), bool)
    >>> ring[1, 1] = False
    >>> fill_holes(ring, ~ring).all()
    np.True_
    """
    from scipy import ndimage

    holes = ndimage.binary_fill_holes(region) & ~region
    if not holes.any():
        return region
    numbers, _ = ndimage.label(holes)
    filled = np.bincount(numbers.ravel()) <= largest
    filled[np.unique(numbers[~background])] = False  # a class inside, and 0: everything else
    filled[0] = False
    result: NDArray[np.bool_] = region | filled[numbers]
    return result


def clean_classes(
    labels: NDArray[Any], *, min_size: int = 0, fill_holes_of_classes: bool = False
) -> NDArray[Any]:
    """Remove small pieces of each class, and then fill the holes of each class.

    Parameters
    ----------
    labels : ndarray of integers, shape (Y, X)
        Class of each pixel, 0 is background.
    min_size : int
        Connected regions of a class with fewer pixels are removed; pixels that share a corner are
        connected.
    fill_holes_of_classes : bool
        Whether to fill holes that contain no other class.

    Returns
    -------
    ndarray of integers, shape (Y, X)
    """
    from scipy import ndimage

    present = [int(class_id) for class_id in np.unique(labels) if class_id]
    cleaned = labels.copy()
    if min_size > 1:
        for class_id in present:
            numbers, _ = ndimage.label(labels == class_id, np.ones((3, 3), bool))
            small = np.bincount(numbers.ravel()) < min_size
            small[0] = False
            cleaned[small[numbers]] = 0
    if fill_holes_of_classes:
        for class_id in present:
            region = cleaned == class_id
            cleaned[fill_holes(region, cleaned == 0) & ~region] = class_id
    return cleaned
