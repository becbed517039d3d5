"""Arguments as people give them in Python: paths, tensors, lists, ranges, slices.

Every function of the public API converts its arguments here, so that all accept the same and name
the argument that they refuse.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.axes import AXES


def is_path(value: Any) -> bool:
    """Return whether an argument is the path of a file."""
    return isinstance(value, str | os.PathLike)


def as_array(value: Any, name: str = "stack") -> Any:
    """Return an array with shape, dtype and basic indexing; NumPy and lazy arrays stay as they are.

    Parameters
    ----------
    value : array, tensor or nested sequence
        Of a PyTorch tensor on a GPU a copy is returned.
    name : str
        Name of the argument, for messages.

    Raises
    ------
    InputError
        If the value is not an array of numbers.
    """
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        return _from_tensor(value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return value
    if value is None or is_path(value) or isinstance(value, Path | bytes | dict | set):
        raise InputError(f"`{name}` is {_shown(value)}: give an array of pixels.")
    try:
        if isinstance(value, Sequence) and any(np.ma.isMaskedArray(one) for one in value):
            return np.ma.stack(value)
        if isinstance(value, Sequence):
            value = [as_array(one) if hasattr(one, "detach") else one for one in value]
        array = np.asanyarray(value)
    except ValueError as error:
        raise InputError(f"`{name}` is not an array: its rows or frames differ in size.") from error
    if array.dtype == object or array.ndim == 0:
        raise InputError(f"`{name}` is {_shown(value)}: give an array of pixels.")
    return array


def as_index(value: Any, name: str) -> int:
    """Return an argument that is one whole number.

    Raises
    ------
    InputError
        If it is not.
    """
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return operator.index(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"`{name}` is {_shown(value)}: give a whole number.") from None


def as_position(value: Any, name: str) -> int | tuple[int, ...] | None:
    """Return an argument that is the index of a frame or its position along the leading axes.

    Raises
    ------
    InputError
        If it is neither.
    """
    if value is None:
        return None
    single = isinstance(value, str) or getattr(value, "ndim", None) == 0
    if isinstance(value, Iterable) and not single:
        return as_indices(value, name)
    return as_index(value, name)


def as_indices(values: Any, name: str) -> tuple[int, ...]:
    """Return an argument that is a collection of whole numbers.

    Raises
    ------
    InputError
        If it is not.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InputError(f"`{name}` is {_shown(values)}: give a list of whole numbers.")
    return tuple(as_index(value, name) for value in values)


def as_channels(channels: Any, available: int) -> tuple[int, ...]:
    """Return the indices of channels: a collection, a range, a slice, or one number.

    Raises
    ------
    InputError
        If the argument is none of these.
    """
    if isinstance(channels, slice):
        return tuple(range(available)[channels])
    single = isinstance(channels, str) or getattr(channels, "ndim", None) == 0
    if isinstance(channels, Iterable) and not single:
        return as_indices(channels, "channels")
    return (as_index(channels, "channels"),)


def as_frame_range(frames: Any) -> tuple[int | None, int | None] | None:
    """Return the first frame and the one after the last, of a pair, a range or a slice.

    Raises
    ------
    InputError
        If the argument is none of these, or has steps.
    """
    if frames is None:
        return None
    if isinstance(frames, range | slice):
        if frames.step not in (None, 1):
            raise InputError(
                f"`frames` is {frames}: frames are segmented without steps; give (start, stop)."
            )
        limits = [frames.start, frames.stop]
    elif isinstance(frames, Sequence | np.ndarray) and len(frames) == 2:
        limits = list(frames)
    else:
        raise InputError(
            f"`frames` is {_shown(frames)}: give the first frame and the one after the last, such "
            "as (0, 10)."
        )
    start, stop = (None if limit is None else as_index(limit, "frames") for limit in limits)
    return start, stop


def as_limits(limits: Any) -> tuple[float, float] | None:
    """Return contrast limits as two numbers.

    Raises
    ------
    InputError
        If the argument is not a pair of numbers.
    """
    if limits is None:
        return None
    try:
        low, high = (float(limit) for limit in limits)
    except (TypeError, ValueError):
        raise InputError(
            f"`contrast_limits` is {_shown(limits)}: give two numbers, the lower one first."
        ) from None
    return low, high


def _from_tensor(tensor: Any) -> NDArray[Any]:
    tensor = tensor.detach().cpu()
    if not tensor.is_complex() and str(tensor.dtype) == "torch.bfloat16":
        tensor = tensor.float()  # NumPy has no such type
    array: NDArray[Any] = tensor.numpy()
    return array


def _shown(value: Any) -> str:
    text = repr(value)
    return f"of the type {type(value).__name__}" if len(text) > 60 else text


def check_dtype(dtype: np.dtype[Any]) -> None:
    """Raise `InputError` for pixels that are not real numbers."""
    if dtype.kind == "c":
        raise InputError("Complex images cannot be segmented: take their magnitude or real part.")
    if dtype.kind not in "biuf":
        raise InputError(
            f"Images of type {dtype} cannot be segmented: convert them to real numbers."
        )


def check_axes(axes: str, shape: tuple[int, ...]) -> str:
    """Return axes that describe an array of a shape; raise `InputError` for others."""
    if len(axes) != len(shape):
        named = "1 axis" if len(axes) == 1 else f"{len(axes)} axes"
        raise InputError(
            f"'{axes}' names {named}, but the image has the shape {shape}: give one "
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


def check_channels(channels: Any, available: int) -> tuple[int, ...]:
    """Return the chosen channels, all by default; raise `InputError` if one is not available."""
    chosen = tuple(range(available)) if channels is None else as_channels(channels, available)
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
