"""Checks of the data type, axes and channels of a stack."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.arguments import as_channels
from napari_vrp_sam.io.axes import AXES


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
