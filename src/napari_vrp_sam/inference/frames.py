"""Image arrays as lazy sequences of 2-D frames."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.missing import with_nan
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.arguments import (
    as_array,
    check_axes,
    check_channels,
    check_dtype,
)
from napari_vrp_sam.inference.out_of_core.frame_view import FrameLike, FrameView, Part
from napari_vrp_sam.inference.out_of_core.scratch import is_large
from napari_vrp_sam.io.axes import SMALLEST_SIDE, axis_letters, guess_axes, parse_axes

MIN_SIDE = SMALLEST_SIDE
"""Smallest side of a frame in pixels: half a cell of an encoder with stride 32."""


class Frames:
    """A lazy sequence of the 2-D frames of an image.

    Parameters
    ----------
    data : array
        NumPy, dask, zarr, xarray or any object with shape, dtype and basic indexing; a PyTorch
        tensor; a list of arrays of one shape. Frames are read on demand. Pixels that a masked array
        masks, or that are NaN, are missing.
    axes : str or sequence of str, optional
        One letter of T, Z, C, Y, X, S for each axis of `data`, upper or lower case, or their names,
        such as "time, band, y, x"; Y and X are required. Default: the dimensions of an xarray, else
        `guess_axes`.
    channels : sequence of int, range, slice or int, optional
        Channels to use, in this order; default: all.
    nodata : float, optional
        Value of missing pixels, beside NaN and masked pixels. Default: the fill value that the
        attributes of an xarray name, if any.

    Raises
    ------
    InputError
        If the data cannot be read as frames of real numbers, 16 x 16 pixels or larger, or the axes
        of the data are not certain.

    Notes
    -----
    Frames that may have missing pixels are read as floating-point numbers, with NaN for a missing
    value. A pixel without any value in the channels in use gets the label 0 and is not learned.

    Examples
    --------
    >>> stack = np.zeros((5, 32, 48), dtype=np.uint8)
    >>> frames = Frames(stack, "ZYX")
    >>> len(frames), frames[2].shape, frames.label_shape
    (5, (32, 48, 1), (5, 32, 48))
    """

    def __init__(
        self,
        data: Any,
        axes: str | Sequence[str] | None = None,
        channels: Any = None,
        nodata: float | None = None,
    ) -> None:
        self._data = as_array(data)
        shape = tuple(int(size) for size in self._data.shape)
        check_dtype(np.dtype(self._data.dtype))
        if axes is None:
            axes = _named_axes(self._data) or guess_axes(shape, np.dtype(self._data.dtype))
        self.nodata = _fill_value(self._data) if nodata is None else _number(nodata)
        """Value of missing pixels, beside NaN and masked pixels."""
        self.shape = shape
        """Shape of the data."""
        self.axes = check_axes(parse_axes(axes), shape)
        """One letter for each axis of the data, upper case."""
        sizes = dict(zip(self.axes, shape, strict=True))
        self.lead_shape = tuple(size for axis, size in sizes.items() if axis in "TZ")
        """Sizes of the axes T and Z, along which frames are counted; () for a single image."""
        self.frame_shape = (sizes["Y"], sizes["X"])
        """Height and width of a frame in pixels."""
        self._check_sizes(shape)
        available = sizes.get("C", sizes.get("S", 1))
        self.channels = check_channels(channels, available)
        """Indices of the channels in use."""

    def __len__(self) -> int:
        return int(np.prod(self.lead_shape, dtype=int))

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Read a frame of shape (Y, X, C).

        The dtype is that of the data, uint8 for bool, or a floating-point type if pixels may be
        missing, which are NaN.
        """
        return self._read(index, (slice(None), slice(None)))

    def view(self, index: int) -> FrameView:
        """Return a frame of shape (Y, X, C) that is read by windows."""
        return FrameView(
            (*self.frame_shape, len(self.channels)), self.dtype, partial(self._read, index)
        )

    def frame(self, index: int) -> FrameLike:
        """Read a frame or, if it is too large for the memory, return a view of it."""
        return self.view(index) if self.too_large else self[index]

    @property
    def too_large(self) -> bool:
        """True if frames are too large to be processed in memory."""
        return is_large(self.frame_shape)

    def _read(self, index: int, part: Part) -> NDArray[Any]:
        first, last = min(self.channels), max(self.channels)
        # One contiguous range of channels, because some lazy arrays cannot select scattered ones.
        where: dict[str, int | slice] = dict.fromkeys("CS", slice(first, last + 1))
        where.update(Y=part[0], X=part[1])
        where.update(zip(self._lead_axes, self.position(index), strict=True))
        selection = tuple(where.get(axis, slice(None)) for axis in self.axes)
        frame = with_nan(read_selection(self._data, selection), self.nodata)
        left = [axis for axis in self.axes if axis not in self._lead_axes]
        if len(left) == 2:
            left, frame = [*left, "C"], frame[..., None]
        frame = frame.transpose(sorted(range(3), key=lambda at: "YXCS".index(left[at])))
        frame = frame[..., [channel - first for channel in self.channels]]
        return frame.astype(np.uint8) if frame.dtype == bool else frame

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[index] for index in range(len(self)))

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of a label image of all frames."""
        return (*self.lead_shape, *self.frame_shape)

    @property
    def label_axes(self) -> str:
        """One letter for each axis of a label image of all frames."""
        return "".join(self._lead_axes) + "YX"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the data."""
        dtype: np.dtype[Any] = np.dtype(self._data.dtype)
        return dtype

    @property
    def rgb(self) -> bool:
        """True if the channels are colours, which share their contrast limits."""
        return "S" in self.axes and len(self.channels) >= 3

    @property
    def projected(self) -> bool:
        """True if more channels are used than a model takes, so that they are projected."""
        return len(self.channels) > 3 and not self.rgb

    def index(self, lead_position: int | Sequence[int]) -> int:
        """Return the index of a frame, given its position along the leading axes.

        Raises
        ------
        InputError
            If there is no such frame.
        """
        position = np.atleast_1d(np.asarray(lead_position, dtype=int)).tolist()
        inside = len(position) == len(self.lead_shape) and all(
            0 <= at < size for at, size in zip(position, self.lead_shape, strict=True)
        )
        if not inside:
            raise InputError(
                f"There is no frame at {tuple(position)}: the leading axes have the sizes "
                f"{self.lead_shape}, and positions are counted from 0."
            )
        return int(np.ravel_multi_index(position, self.lead_shape)) if position else 0

    def position(self, index: int) -> tuple[int, ...]:
        """Return the position of a frame along the leading axes.

        Negative indices count from the last frame.

        Raises
        ------
        IndexError
            If there is no such frame.
        """
        at = operator.index(index)
        at += len(self) if at < 0 else 0
        if not 0 <= at < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        return tuple(int(i) for i in np.unravel_index(at, self.lead_shape))

    def neighbours(self, index: int) -> list[int]:
        """Return the frames before and after a frame: along Z, or along T without several planes.

        Parameters
        ----------
        index : int

        Returns
        -------
        list of int
            Two indices, or fewer at the ends of the stack.
        """
        sizes = dict(zip(self._lead_axes, self.lead_shape, strict=True))
        along = next((axis for axis in "ZT" if sizes.get(axis, 1) > 1), None)
        if along is None:
            return []
        at = self._lead_axes.index(along)
        position = list(self.position(index))
        near = [position[at] + step for step in (-1, 1)]
        return [
            self.index([*position[:at], place, *position[at + 1 :]])
            for place in near
            if 0 <= place < sizes[along]
        ]

    @property
    def _lead_axes(self) -> list[str]:
        return [axis for axis in self.axes if axis in "TZ"]

    def _check_sizes(self, shape: tuple[int, ...]) -> None:
        if 0 in shape:
            raise InputError(f"The image is empty: its shape is {shape}.")
        check_frame_size(self.frame_shape, f"check that the axes of {shape} are {self.axes}, or ")


def check_frame_size(frame_shape: tuple[int, ...], hint: str = "") -> None:
    """Check that frames have at least 16 x 16 pixels.

    Raises
    ------
    InputError
        If a side is shorter; `hint` is put before the advice.
    """
    if min(frame_shape) < MIN_SIDE:
        raise InputError(
            f"Frames of {frame_shape[0]} x {frame_shape[1]} pixels are too small: {hint}enlarge "
            f"the image to at least {MIN_SIDE} x {MIN_SIDE}."
        )


def _named_axes(data: Any) -> str | None:
    names = tuple(getattr(data, "dims", ()))
    return axis_letters(names) if names else None


def read_selection(data: Any, selection: Any) -> NDArray[Any]:
    """Read a part of an array that may be lazy; a masked array keeps its mask."""
    part = data[selection]
    if hasattr(part, "dims"):  # an xarray, whose conversion would drop the mask of a dask chunk
        part = part.data
    part = part.compute() if hasattr(part, "compute") else part
    array: NDArray[Any] = np.asanyarray(part)
    return array


def _fill_value(data: Any) -> float | None:
    """Return the fill value that an xarray names as the conventions of CF or rioxarray do."""
    attributes = getattr(data, "attrs", None) if hasattr(data, "dims") else None
    for name in ("_FillValue", "missing_value", "nodata"):
        value = (attributes or {}).get(name)
        if isinstance(value, int | float | np.number):
            return float(value)
    return None


def _number(nodata: Any) -> float:
    try:
        return float(nodata)
    except (TypeError, ValueError):
        raise InputError(
            f"`nodata` is {nodata!r}: give the value of missing pixels as one number."
        ) from None
