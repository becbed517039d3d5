"""Arrays that read what they are asked for, and can be sent to another process unread."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.frame_files import unreadable


class LazyArray:
    """What a lazy array is, besides reading parts of itself."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        """Read a part, by numbers and slices."""
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: FBT001
        return np.array(self[()], dtype=dtype)


class LazyStack(LazyArray):
    """Frames that are read one by one.

    A dask array of so many pieces would walk through all of them for each that is asked for:
    0.8 s a frame, of 5,000.

    Parameters
    ----------
    reads : sequence of callable
        Each gives one frame.
    lead_shape : tuple of int
        Of the axes along which frames are counted.
    frame_shape : tuple of int
    dtype : dtype
        Holds the values of every frame; indexing raises an `InputError` where it does not.
    """

    def __init__(
        self,
        reads: Sequence[Callable[[], NDArray[Any]]],
        lead_shape: tuple[int, ...],
        frame_shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        assert math.prod(lead_shape) == len(reads)
        self.shape = (*lead_shape, *frame_shape)
        self.dtype = np.dtype(dtype)
        self._reads = reads
        self._numbers = np.arange(len(reads)).reshape(lead_shape)

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        given = selection if isinstance(selection, tuple) else (selection,)
        lead = self._numbers.ndim
        numbers = self._numbers[given[:lead]]
        frames = [self._reads[int(number)]()[given[lead:]] for number in np.ravel(numbers)]
        for frame in frames:
            # A file may be another one than when the stack was opened.
            if not np.can_cast(frame.dtype, self.dtype):
                raise InputError(
                    f"A frame of type {frame.dtype} lies in a stack of type {self.dtype}: "
                    "save all frames in the same one."
                )
        return np.asarray(frames, self.dtype).reshape(*np.shape(numbers), *frames[0].shape)


class Guarded(LazyArray):
    """A lazy array whose damaged parts are told in one sentence when they are read.

    Parameters
    ----------
    array : array
        With basic indexing.
    path : Path
        Where it lies.
    """

    def __init__(self, array: Any, path: Path) -> None:
        self._array = array
        self._path = path
        self.shape = tuple(array.shape)
        self.dtype = np.dtype(array.dtype)

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        try:
            return np.asarray(self._array[selection])
        except IndexError:  # by which Python ends a loop
            raise
        except Exception as error:
            raise unreadable(self._path, error) from error


class Squeezed(LazyArray):
    """A lazy array without its axes of length 1; of the last two both are left.

    Parameters
    ----------
    array : array
        With basic indexing.

    Attributes
    ----------
    kept : list of bool
        Of each axis of the array whether it is left.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        sizes = tuple(array.shape)
        self.kept = [size > 1 or at >= len(sizes) - 2 for at, size in enumerate(sizes)]
        self.shape = tuple(size for size, keep in zip(sizes, self.kept, strict=True) if keep)
        self.dtype = np.dtype(array.dtype)

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        given = iter(selection if isinstance(selection, tuple) else (selection,))
        whole = tuple(next(given, slice(None)) if keep else 0 for keep in self.kept)
        return np.asarray(self._array[whole])
