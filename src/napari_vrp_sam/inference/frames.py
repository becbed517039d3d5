"""Image arrays as lazy sequences of 2-D frames."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError

AXES = "TZCYXS"
"""Time, depth, channel, row, column, and the samples of an RGB pixel."""

MIN_SIDE = 16
"""Smallest side of a frame in pixels: half a cell of an encoder with stride 32."""


class Frames:
    """A lazy sequence of the 2-D frames of an image.

    Parameters
    ----------
    data : array
        NumPy, dask, zarr, xarray or any object with shape, dtype and basic indexing. Frames are
        read on demand.
    axes : str, optional
        One letter of T, Z, C, Y, X, S for each axis of `data`, upper or lower case; Y and X are
        required. Default: the dimensions of an xarray if they are such letters, else
        `guess_axes`.
    channels : sequence of int, optional
        Channels to use, in this order; default: all.

    Raises
    ------
    InputError
        If the data cannot be read as frames of real numbers, 16 x 16 pixels or larger.

    Examples
    --------
    >>> stack = np.zeros((5, 32, 48), dtype=np.uint8)
    >>> frames = Frames(stack, "ZYX")
    >>> len(frames), frames[2].shape, frames.label_shape
    (5, (32, 48, 1), (5, 32, 48))
    """

    def __init__(
        self, data: Any, axes: str | None = None, channels: Sequence[int] | None = None
    ) -> None:
        self._data = data if hasattr(data, "shape") and hasattr(data, "dtype") else _to_array(data)
        shape = tuple(int(size) for size in self._data.shape)
        _check_dtype(np.dtype(self._data.dtype))
        if axes is None:
            axes = _named_axes(self._data) or guess_axes(shape, np.dtype(self._data.dtype))
        self.shape = shape
        """Shape of the data."""
        self.axes = _check_axes(axes, shape)
        """One letter for each axis of the data, upper case."""
        sizes = dict(zip(self.axes, shape, strict=True))
        self.lead_shape = tuple(size for axis, size in sizes.items() if axis in "TZ")
        """Sizes of the axes T and Z, along which frames are counted; () for a single image."""
        self.frame_shape = (sizes["Y"], sizes["X"])
        """Height and width of a frame in pixels."""
        self._check_sizes(shape)
        available = sizes.get("C", sizes.get("S", 1))
        self.channels = _check_channels(channels, available)
        """Indices of the channels in use."""

    def __len__(self) -> int:
        return int(np.prod(self.lead_shape, dtype=int))

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Read a frame of shape (Y, X, C) in the dtype of the data (bool becomes uint8)."""
        first, last = min(self.channels), max(self.channels)
        # One contiguous range of channels, because some lazy arrays cannot select scattered ones.
        where: dict[str, int | slice] = dict.fromkeys("CS", slice(first, last + 1))
        where.update(zip(self._lead_axes, self.position(index), strict=True))
        frame = np.asarray(self._data[tuple(where.get(axis, slice(None)) for axis in self.axes)])
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
        return np.dtype(self._data.dtype)

    @property
    def rgb(self) -> bool:
        """True if the channels are colours, which share their contrast limits."""
        return "S" in self.axes and len(self.channels) >= 3

    def index(self, lead_position: int | Sequence[int]) -> int:
        """Return the index of a frame, given its position on the leading axes.

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
        """Return the position of a frame on the leading axes, given its index (-1: the last frame).

        Raises
        ------
        IndexError
            If there is no such frame.
        """
        at = operator.index(index)
        at += len(self) if at < 0 else 0
        if not 0 <= at < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        return tuple(int(i) for i in np.unravel_index(at, self.lead_shape or (1,)))[
            : len(self.lead_shape)
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


def guess_axes(shape: tuple[int, ...], dtype: Any) -> str:
    """Guess the axes of an array from its shape: YX, ZYX, TZYX or TZCYX.

    A last axis of size 3 or 4 in uint8 data is taken for colour: YXS, ZYXS, TZYXS.

    Raises
    ------
    InputError
        If there are fewer than 2 axes or more than 5.
    """
    if len(shape) > 2 and shape[-1] in (3, 4) and np.dtype(dtype) == np.uint8:
        guess = {3: "YXS", 4: "ZYXS", 5: "TZYXS"}.get(len(shape))
    else:
        guess = {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TZCYX"}.get(len(shape))
    if guess is None:
        raise InputError(
            f"An image has 2 to 5 axes, but this array has {len(shape)}: select a part of it, "
            f"or name its axes with the letters {AXES}."
        )
    return guess


def _to_array(data: Any) -> NDArray[Any]:
    try:
        return np.asarray(data)
    except ValueError as error:
        raise InputError("The image is not an array: its rows differ in length.") from error


def _named_axes(data: Any) -> str | None:
    names = [str(name).upper() for name in getattr(data, "dims", ())]
    return "".join(names) if names and all(len(n) == 1 and n in AXES for n in names) else None


def _check_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.kind == "c":
        raise InputError("Complex images cannot be segmented: take their magnitude or real part.")
    if dtype.kind not in "biuf":
        raise InputError(
            f"Images of type {dtype} cannot be segmented: convert them to real numbers."
        )


def _check_axes(axes: str, shape: tuple[int, ...]) -> str:
    axes = axes.upper()
    if len(axes) != len(shape):
        raise InputError(
            f"'{axes}' names {len(axes)} axes, but the image has the shape {shape}: give one "
            "letter for each axis."
        )
    if not set(axes) <= set(AXES) or len(set(axes)) < len(axes):
        raise InputError(
            f"The axes {axes} are not valid: use each of the letters {AXES} at most once."
        )
    if not {"Y", "X"} <= set(axes):
        raise InputError(f"The axes {axes} lack Y or X: a frame needs both.")
    if {"C", "S"} <= set(axes):
        raise InputError(
            f"The axes {axes} contain both C and S: select one channel of the image first."
        )
    return axes


def _check_channels(channels: Sequence[int] | None, available: int) -> tuple[int, ...]:
    chosen = tuple(range(available)) if channels is None else tuple(int(c) for c in channels)
    if not chosen:
        raise InputError(
            "No channel is selected: select at least one, or omit the channels to use all."
        )
    wrong = [channel for channel in chosen if not 0 <= channel < available]
    if wrong:
        raise InputError(
            f"There is no channel {wrong[0]}: the image has {available}, counted from 0."
        )
    return chosen
