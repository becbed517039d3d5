"""Missing pixels: pixels of a frame without data, which are NaN in every channel in use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


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
