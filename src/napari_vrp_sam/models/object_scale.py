"""Size of annotated objects, which determines the resolution that a model needs."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def median_diameter(masks: Iterable[NDArray[np.bool_]]) -> float | None:
    """Return the median diameter of the connected objects of masks, in pixels.

    Parameters
    ----------
    masks : iterable of ndarray, shape (Y, X), bool

    Returns
    -------
    float or None
        Diameter of a disc of the same area; None if no mask shows an object.

    Examples
    --------
    >>> mask = np.zeros((64, 64), bool)
    >>> mask[10:20, 10:20] = True
    >>> round(median_diameter([mask]), 1)
    11.3
    """
    areas: list[int] = []
    for mask in masks:
        objects, _ = ndimage.label(mask)
        areas += np.bincount(objects.ravel())[1:].tolist()
    return 2 * math.sqrt(float(np.median(areas)) / math.pi) if areas else None


def median_width(mask: NDArray[np.bool_]) -> float | None:
    """Return the median width of the objects of a mask, in pixels.

    Parameters
    ----------
    mask : ndarray, shape (Y, X), bool

    Returns
    -------
    float or None
        Twice the median distance of the marked pixels to the nearest pixel that is not marked; None
        if no pixel is marked.

    Examples
    --------
    >>> mask = np.zeros((64, 64), bool)
    >>> mask[10:14] = True
    >>> median_width(mask)
    3.0
    """
    if not mask.any():
        return None
    # Outside of the frame, objects may go on.
    distances = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
    return 2 * float(np.median(distances[mask]))
