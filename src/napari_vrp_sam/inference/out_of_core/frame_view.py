"""Frames of a stack that are read by windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.inference.out_of_core.scratch import window_side, windows

Part = tuple[slice, slice]
"""Rows and columns of a frame."""


class FrameView:
    """A frame of a stack of which only the pixels that are indexed are read.

    Parameters
    ----------
    shape : tuple of int
        (Y, X, C).
    dtype : dtype
        Dtype of the pixels; parts with missing pixels may have a floating-point type instead.
    read : callable
        Maps rows and columns to pixels, shape (rows, columns, C).
    """

    ndim = 3

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        read: Callable[[Part], NDArray[Any]],
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self._read = read

    def __getitem__(self, part: Part) -> NDArray[Any]:
        return self._read(part)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: FBT001
        return np.asarray(self[:, :], dtype)


FrameLike = NDArray[Any] | FrameView
"""A frame in memory, or one that is read by windows."""


def every(frame: FrameLike, step: int) -> NDArray[Any]:
    """Return every `step`-th row and column of a frame; a view is read by windows.

    Equal to ``frame[::step, ::step]``.
    """
    if isinstance(frame, np.ndarray):
        return frame[::step, ::step]
    height, width, channels = frame.shape
    side = max(1, window_side(channels, frame.dtype) // step) * step
    thinned = np.zeros((-(-height // step), -(-width // step), channels), frame.dtype)
    for rows, columns in windows((height, width), side):
        pixels = frame[rows, columns][::step, ::step]
        if pixels.dtype != thinned.dtype:  # only parts with missing pixels contain NaN
            thinned = thinned.astype(np.result_type(thinned, pixels))
        top, left = rows.start // step, columns.start // step
        thinned[top : top + len(pixels), left : left + pixels.shape[1]] = pixels
    return thinned
