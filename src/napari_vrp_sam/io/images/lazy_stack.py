"""Lazy arrays, which read only what is indexed, and can be pickled without their data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.read_errors import read_error

KEPT = 2**27
"""Size in bytes above which a frame that is decoded as a whole is kept for its other windows."""


class LazyArray:
    """Base class of lazy arrays, indexed by integers and slices."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_frame = False
    """True if the array is a single frame, with its channels."""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Size of the pixels in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: FBT001
        return np.array(self[()], dtype=dtype)


def full_selection(selection: Any, ndim: int) -> tuple[Any, ...]:
    """Return a selection as one index for each axis, without an ellipsis."""
    given = list(selection) if isinstance(selection, tuple) else [selection]
    at = next((at for at, part in enumerate(given) if part is Ellipsis), len(given))
    given[at : at + 1] = [slice(None)] * (ndim - len(given) + (at < len(given)))
    return tuple(given)


def stack_frames(frames: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Stack frames along a new first axis; the result is masked if one of them is."""
    masked = any(isinstance(frame, np.ma.MaskedArray) for frame in frames)
    stacked: NDArray[Any] = np.ma.stack(frames) if masked else np.stack(frames)
    return stacked


class LazyStack(LazyArray):
    """Stack that reads each frame when it is indexed.

    A dask array with one chunk per frame takes 0.8 s to index one of 5,000 frames.

    Parameters
    ----------
    readers : sequence of callable
        Each returns one frame, which may be lazy.
    lead_shape : tuple of int
        Shape of the axes along which frames are counted.
    frame_shape : tuple of int
    dtype : dtype
        Dtype of the stack; frames that do not fit raise an `InputError` when they are indexed.
    """

    def __init__(
        self,
        readers: Sequence[Callable[[], Any]],
        lead_shape: tuple[int, ...],
        frame_shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        assert math.prod(lead_shape) == len(readers)
        self.is_frame = not lead_shape
        self.shape = (*lead_shape, *frame_shape)
        self.dtype = np.dtype(dtype)
        self._readers = readers
        self._numbers = np.arange(len(readers)).reshape(lead_shape)
        self._last: tuple[int, NDArray[Any]] | None = None

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        selection = full_selection(selection, self.ndim)
        lead = self._numbers.ndim
        numbers = self._numbers[selection[:lead]]
        frames = [self._frame(int(number))[selection[lead:]] for number in np.ravel(numbers)]
        for frame in frames:
            # Files may have changed since the stack was opened.
            if not np.can_cast(frame.dtype, self.dtype):
                raise InputError(
                    f"A frame has the type {frame.dtype}, but its stack has {self.dtype}: "
                    "save all frames with the same type."
                )
        shape = (*np.shape(numbers), *frames[0].shape)
        return stack_frames(frames).astype(self.dtype, copy=False).reshape(shape)

    def _frame(self, number: int) -> Any:
        """Read a frame; a large one is kept for the windows that are read next."""
        last = self._last
        if last is not None and last[0] == number:
            return last[1]
        self._last = None
        frame = self._readers[number]()
        expected = self.shape[self._numbers.ndim :]
        if frame.shape != expected:
            raise InputError(
                f"A frame has the shape {frame.shape}, but its stack has {expected}: the file is "
                "damaged, or has changed since it was opened."
            )
        if isinstance(frame, np.ndarray) and frame.nbytes > KEPT:
            self._last = number, frame
        return frame

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}


class Transposed(LazyArray):
    """Lazy array with its axes in another order.

    Parameters
    ----------
    array : lazy array
    order : sequence of int
        Axes of `array`, in the order of the new axes, as for `numpy.transpose`.
    """

    def __init__(self, array: LazyArray, order: Sequence[int]) -> None:
        self._array = array
        self._order = tuple(order)
        self.is_frame = array.is_frame
        self.shape = tuple(array.shape[axis] for axis in self._order)
        self.dtype = array.dtype

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        given = dict(zip(self._order, full_selection(selection, self.ndim), strict=True))
        part = self._array[tuple(given[axis] for axis in range(self.ndim))]
        sliced = [axis for axis in range(self.ndim) if isinstance(given[axis], slice)]
        kept = [axis for axis in self._order if axis in sliced]
        return part.transpose([sliced.index(axis) for axis in kept])


def in_order(array: Any, axes: str | None, wanted: str | None) -> Any:
    """Return an array with its axes in another order.

    Parameters
    ----------
    array : ndarray or LazyArray
    axes, wanted : str, optional
        One letter for each axis: the present order and the wanted one.

    Returns
    -------
    ndarray or LazyArray
        The same array if the letters are not the same, or one of the orders is unknown.
    """
    if not axes or not wanted or axes == wanted or sorted(axes) != sorted(wanted):
        return array
    order = [axes.index(axis) for axis in wanted]
    return Transposed(array, order) if isinstance(array, LazyArray) else array.transpose(order)


class LazyZarr(LazyArray):
    """Zarr array that raises an `InputError` for damaged data.

    Parameters
    ----------
    array : zarr.Array
    path : Path
        Path of its folder.
    squeeze : bool
        Remove the axes of length 1, except for the last two axes.

    Attributes
    ----------
    remaining : list of bool
        For each axis of `array`, True if it is not removed.
    """

    def __init__(self, array: Any, path: Path, *, squeeze: bool = False) -> None:
        from napari_vrp_sam.io.images.zarr_arrays.blosc_chunks import checked

        self._array = checked(array)
        self._path = path
        last = array.ndim - 2
        sizes = list(enumerate(array.shape))
        self.remaining = [not squeeze or size != 1 or axis >= last for axis, size in sizes]
        self.shape = tuple(size for axis, size in sizes if self.remaining[axis])
        self.dtype = np.dtype(array.dtype)

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        if not all(self.remaining):
            given = iter(full_selection(selection, self.ndim))
            selection = tuple(next(given) if remains else 0 for remains in self.remaining)
        try:
            return np.asarray(self._array[selection])
        except IndexError:  # ends a Python loop over an array
            raise
        except Exception as error:
            raise read_error(self._path, error) from error
