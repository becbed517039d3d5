"""Arrays of large frames in temporary files, read and written by windows."""

from __future__ import annotations

import contextlib
import ctypes
import math
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.io.images.lazy_stack import LazyArray

LARGEST_FRAME = 10**8
"""Largest number of pixels of frames that are processed in memory."""

WINDOW = 2048
"""Rows and columns that are read at a time."""

SMALLEST_WINDOW = 512
ROW_BYTES = 2**22
"""Largest size in bytes of rows that are read at a time; computing takes several times as much."""


class ScratchArray(LazyArray):
    """Array in a temporary file, which is deleted with the array; pickled as an array in memory.

    The folder of temporary files is the one of the `tempfile` module: set TMPDIR to choose another.

    Parameters
    ----------
    shape : tuple of int
        (..., Y, X); filled with 0.
    dtype : dtype
    """

    is_frame = True

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        # On POSIX it has no name, so that nothing is left if the process is killed.
        self._file = tempfile.TemporaryFile(prefix="vrp-sam-")  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._file.truncate(math.prod(shape) * dtype.itemsize)  # takes no space until written

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        return np.array(self._mapped("r")[selection])

    def __setitem__(self, selection: Any, values: NDArray[Any]) -> None:
        self._mapped("r+")[selection] = values

    def _mapped(self, mode: Literal["r", "r+"]) -> NDArray[Any]:
        # Mapped for each access only, because pages that were accessed count as used memory.
        return np.memmap(self._file, self.dtype, mode, shape=self.shape)

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()


def is_large(shape: tuple[int, ...]) -> bool:
    """Return whether a frame (..., Y, X) is too large to be processed in memory."""
    return shape[-2] * shape[-1] > LARGEST_FRAME


def zeros(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return an array of zeros, shape (..., Y, X): a `ScratchArray` if the frame is large."""
    return (ScratchArray if is_large(shape) else np.zeros)(shape, np.dtype(dtype))


def row_windows(array: Any) -> Iterator[slice]:
    """Yield the rows of an array (..., Y, X) that are processed at a time; all, if in memory."""
    height = array.shape[-2]
    if isinstance(array, np.ndarray):
        yield slice(0, height)
        return
    row = math.prod(array.shape) // height * np.dtype(array.dtype).itemsize
    step = max(1, ROW_BYTES // row)
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def windows(size: tuple[int, int], side: int = WINDOW) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns that cover a frame of a height and a width in squares."""
    for top in range(0, size[0], side):
        for left in range(0, size[1], side):
            yield (
                slice(top, min(top + side, size[0])),
                slice(left, min(left + side, size[1])),
            )


def window_side(channels: int, dtype: np.dtype[Any]) -> int:
    """Return the side of the squares in which a frame is read: less than usual for many channels.

    Parameters
    ----------
    channels : int
    dtype : dtype
    """
    side, size = WINDOW, channels * dtype.itemsize
    while side > SMALLEST_WINDOW and side**2 * size > ROW_BYTES:
        side //= 2
    return side


def release_memory() -> None:
    """Give memory that was freed, such as that of learning, back to the operating system.

    The C library of Linux keeps it in parts that later arrays do not fill.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # other C libraries
            ctypes.CDLL(None).malloc_trim(0)


def in_rows(
    function: Callable[[NDArray[Any]], NDArray[Any]],
    frame: Any,
    shape: tuple[int, ...],
    dtype: Any,
) -> Any:
    """Apply a function of pixels (..., rows, X) to a frame, a few rows at a time if it is large.

    Parameters
    ----------
    function : callable
    frame : ndarray or ScratchArray
    shape : tuple of int
        Shape of the result, (..., Y, X).
    dtype : dtype
        Dtype of the result.
    """
    if isinstance(frame, np.ndarray):
        return function(frame)
    result = ScratchArray(shape, np.dtype(dtype))
    for rows in row_windows(frame):
        result[..., rows, :] = function(frame[..., rows, :])
    return result
