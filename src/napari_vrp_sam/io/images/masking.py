"""Masked arrays for pixels without data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mask_transparent(values: NDArray[Any], transparent: NDArray[np.bool_]) -> NDArray[Any]:
    """Mask the pixels that are transparent; return the values unchanged if there are none.

    Parameters
    ----------
    values : ndarray, shape (..., Y, X) or (..., Y, X, S)
    transparent : ndarray of bool, shape (..., Y, X)
    """
    if not transparent.any():
        return values
    mask = transparent if transparent.ndim == values.ndim else transparent[..., None]
    return np.ma.MaskedArray(values, np.broadcast_to(mask, values.shape).copy())
