"""Axes of images: their letters, and the names that people, files and libraries give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from napari_vrp_sam.errors import InputError

AXES = "TZCYXS"
"""Time, depth, channel, row, column, and the samples of an RGB pixel."""

AXIS_NAMES = {
    "T": "t time times timepoint timepoints timestamp frame date dates",
    "Z": "z depth plane planes slice slices section sections level levels altitude elevation",
    "C": "c ch channel channels band bands wavelength wavelengths spectral spectrum",
    "Y": "y row rows height lat latitude northing",
    "X": "x col cols column columns width lon long longitude easting",
    "S": "s sample samples rgb rgba color colors colour colours",
}
"""Names of each axis in lower case, separated by spaces."""

MAX_LIKELY_CHANNELS = 5
"""A longer axis without a name is more likely one of frames than one of channels."""

SMALLEST_SIDE = 16
"""Shorter axes cannot be rows or columns of a frame."""

_LETTERS = {name: letter for letter, names in AXIS_NAMES.items() for name in names.split()}


def axis_letter(name: Any) -> str | None:
    """Return the letter of an axis, given its name in upper or lower case; None if it is unknown.

    Examples
    --------
    >>> axis_letter("Band"), axis_letter("lat"), axis_letter("well")
    ('C', 'Y', None)
    """
    return _LETTERS.get(str(name).strip().lower().replace("_", ""))


def axis_letters(names: Iterable[Any]) -> str | None:
    """Return a letter for each named axis; None if the names do not tell.

    Parameters
    ----------
    names : iterable of str
        Names of all axes. Unknown ones become Z, then T.

    Returns
    -------
    str, optional
        None without rows and columns, or if two axes would get the same letter.

    Examples
    --------
    >>> axis_letters(["time", "band", "y", "x"]), axis_letters(["well", "y", "x"])
    ('TCYX', 'ZYX')
    """
    found = [axis_letter(name) for name in names]
    free = [letter for letter in "ZT" if letter not in found]
    letters = "".join(letter or (free.pop(0) if free else "?") for letter in found)
    valid = "?" not in letters and len(set(letters)) == len(letters) and {*"YX"} <= set(letters)
    return letters if valid else None


def parse_axes(axes: str | Iterable[str]) -> str:
    """Return the letters of axes that a user names, in upper case.

    Parameters
    ----------
    axes : str or iterable of str
        Letters of T, Z, C, Y, X, S, such as "tzyx", or names, such as "time, band, y, x" or a list
        of names.

    Raises
    ------
    InputError
        If a name is unknown.

    Examples
    --------
    >>> parse_axes("zyx"), parse_axes("time, band, y, x"), parse_axes(["depth", "y", "x"])
    ('ZYX', 'TCYX', 'ZYX')
    """
    if isinstance(axes, str):
        names = re.split(r"[\s,;/-]+", axes.strip())
        names = [*names[0]] if len(names) == 1 and axis_letter(names[0]) is None else names
    else:
        names = [str(name) for name in axes]
    letters = [axis_letter(name) or (name.upper() if len(name) == 1 else None) for name in names]
    unknown = [name for name, letter in zip(names, letters, strict=True) if letter is None]
    if unknown:
        raise InputError(
            f"The axis '{unknown[0]}' is not known: give `axes` as one letter of {AXES} for each "
            "axis, or as names such as time, depth, channel, y, x."
        )
    return "".join(letter for letter in letters if letter)


def guess_axes(shape: Sequence[int], dtype: Any) -> str:
    """Guess the axes of an array without names from its shape.

    Parameters
    ----------
    shape : sequence of int
    dtype : dtype
        A last axis of size 3 or 4 is taken for colour if this is uint8.

    Returns
    -------
    str
        YX, ZYX, TZYX or TZCYX; with colours YXS, ZYXS or TZYXS, and with another short last axis
        YXC, ZYXC or TZYXC.

    Raises
    ------
    InputError
        If there are fewer than 2 axes or more than 5, or if several readings are likely.
    """
    shape = tuple(shape)
    if not 2 <= len(shape) <= 5:
        raise InputError(
            f"An image has 2 to 5 axes, but this array has {len(shape)}: select a part of it, "
            f"or name its axes with the letters {AXES}."
        )
    frames = ("", "Z", "TZ")
    last = shape[-1]
    if len(shape) > 2 and last in (3, 4) and np.dtype(dtype) == np.uint8:
        return frames[len(shape) - 3] + "YXS"
    if len(shape) > 2 and last < SMALLEST_SIDE <= min(shape[-3:-1]):
        if last in (3, 4):
            lead = frames[len(shape) - 3]
            raise _unsure(shape, [(f"{lead}YXS", "colours"), (f"{lead}YXC", "channels")])
        return frames[len(shape) - 3] + "YXC"
    short = [1 < size <= MAX_LIKELY_CHANNELS for size in shape[:-2]]
    if len(shape) == 4 and any(short):
        axes = [("TZYX", "frames only"), ("TCYX", "channels second"), ("CZYX", "channels first")]
        raise _unsure(shape, axes if short[0] else axes[:2])
    if len(shape) == 5 and short[1]:
        raise _unsure(shape, [("TZCYX", "channels third"), ("TCZYX", "channels second")])
    return ("YX", "ZYX", "TZYX", "TZCYX")[len(shape) - 2]


def _unsure(shape: tuple[int, ...], choices: Sequence[tuple[str, str]]) -> InputError:
    listed = " or ".join(f"'{axes}' ({meaning})" for axes, meaning in choices)
    return InputError(
        f"The axes of an array of the shape {shape} can be read in several ways: give `axes`, "
        f"for example {listed}."
    )
