"""Arguments as people give them in Python: paths, tensors, lists, ranges, slices.

Every function of the public API converts its arguments here, so that all accept the same and name
the argument that they refuse.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError


@dataclass(frozen=True)
class OpenedStack:
    """Stack that an argument names.

    Attributes
    ----------
    data : array
        As `Frames` takes it.
    axes : str or sequence of str, optional
        Axes that the caller gives, else those of the file; None if unknown.
    nodata : float, optional
        Value of missing pixels that the caller gives, else that of the file.
    """

    data: Any
    axes: Any
    nodata: float | None


def open_stack(stack: Any, axes: Any = None, nodata: float | None = None) -> OpenedStack:
    """Return the array of a stack that is an array or the path of an image.

    Parameters
    ----------
    stack : array or path
    axes : str or sequence of str, optional
    nodata : float, optional

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    if not is_path(stack):
        return OpenedStack(stack, axes, nodata)
    from napari_vrp_sam.io.images.stacks import read_stack

    data, stored = read_stack(stack)
    return OpenedStack(data, axes or stored, nodata)


def open_labels(labels: Any, stack: Any = None) -> Any:
    """Return the label image of an argument that is an array or a path; lazy arrays stay lazy.

    Masked pixels of a masked array have no label.

    Parameters
    ----------
    labels : integer array or path
    stack : array or path, optional
        The labelled image.

    Raises
    ------
    InputError
        If the file cannot be read, or the argument is not an array.
    """
    if is_path(labels):
        from napari_vrp_sam.io.images.stacks import read_labels

        return read_labels(labels, stack if is_path(stack) else None)
    array = as_array(labels, "annotation")
    return array.filled(0) if isinstance(array, np.ma.MaskedArray) else array


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
