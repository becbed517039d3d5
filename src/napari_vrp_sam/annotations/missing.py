"""Missing pixels: pixels of a frame without data, which are NaN in every channel in use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def with_nan(frame: NDArray[Any], nodata: float | None = None) -> NDArray[Any]:
    """Return a frame with NaN for masked values and for the value `nodata`.

    Parameters
    ----------
    frame : ndarray or masked array
    nodata : float, optional

    Returns
    -------
    ndarray
        Floating-point numbers if the frame is a masked array or `nodata` is given, else as it is.
    """
    values = np.asarray(frame)
    if not isinstance(frame, np.ma.MaskedArray) and (nodata is None or np.isnan(nodata)):
        return values
    gaps: NDArray[np.bool_] = np.array(np.ma.getmaskarray(frame), copy=True)
    if nodata is not None and _fits(nodata, values.dtype):
        gaps |= values == values.dtype.type(nodata)
    # Half precision and 16 bits fit into single precision, larger numbers into double precision.
    small = values.dtype.itemsize <= 2 or values.dtype == np.float32
    filled = values.astype(np.float32 if small else np.float64)
    filled[gaps] = np.nan
    return filled


def missing_pixels(frame: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return which pixels of a frame have no data; None if all have.

    Parameters
    ----------
    frame : ndarray, shape (Y, X, C) or (Y, X)

    Returns
    -------
    ndarray of bool, shape (Y, X), optional
        True where every channel is NaN.
    """
    if frame.dtype.kind != "f":
        return None
    gaps = np.isnan(frame)
    missing: NDArray[np.bool_] = gaps.all(axis=-1) if frame.ndim == 3 else gaps
    return missing if missing.any() else None


def _fits(number: float, dtype: np.dtype[Any]) -> bool:
    """Return whether a dtype can hold a number, apart from rounding."""
    if dtype.kind == "f":
        return True
    if dtype.kind == "b":
        return False
    limits = np.iinfo(dtype)
    return float(number).is_integer() and limits.min <= number <= limits.max


def fill_missing(planes: NDArray[np.floating]) -> NDArray[np.floating]:
    """Fill the gaps of planes (C, Y, X) in place with their surroundings, mirrored at the border.

    A constant value would put an edge around the gap, which a model would see.
    """
    gaps = np.isnan(planes)
    known: NDArray[np.bool_] | None = None
    for plane, gap in zip(planes, gaps, strict=True):
        if gap.all():
            plane[:] = 0
        elif gap.any():
            if known is None or not np.array_equal(gap, known):  # bands often share their gaps
                known, source = gap, _mirrored(gap)
            plane[gap] = plane[source]
    return planes


def _mirrored(gap: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of the pixel beyond the border of the gap, for each pixel in it."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(gap, return_distances=False, return_indices=True)[:, gap]
    mirrored = 2 * nearest - np.stack(np.nonzero(gap))
    limits = np.array(gap.shape)[:, None] - 1
    inside = ((mirrored >= 0) & (mirrored <= limits)).all(axis=0)
    row, column = np.where(inside, mirrored, nearest)
    blank = gap[row, column]
    row[blank], column[blank] = nearest[:, blank]
    return row, column
