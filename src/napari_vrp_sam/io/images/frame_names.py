"""Axes in the names of frame files, such as T and Z in `cell_T003_Z01.tif`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_NUMBERED = re.compile(
    r"(?<![a-z])(time(?:point)?|slice|plane|channel|ch|tp|t|z|c)[ _=-]?(\d+)(?![a-z])",
    re.IGNORECASE,
)
_LETTERS = {
    "time": "T", "timepoint": "T", "tp": "T", "t": "T", "slice": "Z", "plane": "Z",
    "z": "Z", "channel": "C", "ch": "C", "c": "C",
}  # fmt: skip
MIN_COMPLETE = 0.5
"""Smallest share of the combinations of two numbers for which missing files are expected."""

MAX_CHANNELS = 5
"""Largest number of files that are taken for channels if nothing else is numbered."""


class NamedAxes(NamedTuple):
    """Axes along which files are ordered.

    Parameters
    ----------
    axes : str
        Letters of T, Z, C.
    files : ndarray of int
        Index of the file at each position along these axes, -1 where it is missing.
    """

    axes: str
    files: NDArray[np.intp]


def file_order(names: Sequence[str], frame_axes: str = "YX") -> NamedAxes | None:
    """Return the order of the files of a stack: by the axes in their names, else along Z or T.

    Parameters
    ----------
    names : sequence of str
        Names without suffix, in natural order.
    frame_axes : str
        Axes of each file.

    Returns
    -------
    NamedAxes or None
        None if no axis is free.
    """
    named = axes_in_names(names)
    if named and set(named.axes).isdisjoint(frame_axes.replace("S", "C")):
        return named
    free = next((axis for axis in "ZT" if axis not in frame_axes), None)
    return NamedAxes(free, np.arange(len(names))) if free else None


def axes_in_names(names: Sequence[str]) -> NamedAxes | None:
    """Return the axes that the numbers in file names count.

    Parameters
    ----------
    names : sequence of str
        Names without suffix, in natural order.

    Returns
    -------
    NamedAxes or None
        None if the names do not tell: no number that varies has a letter or word of an axis, or
        other numbers vary too.

    Examples
    --------
    >>> axes_in_names(["a_T0_Z0", "a_T0_Z1", "a_T1_Z0"])
    NamedAxes(axes='TZ', files=array([[ 0,  1],
           [ 2, -1]]))
    """
    rests = {_NUMBERED.sub(r"\1", name) for name in names}
    if len(rests) != 1:
        return None
    numbers = [
        {_LETTERS[word.lower()]: int(digits) for word, digits in _NUMBERED.findall(name)}
        for name in names
    ]
    letters = [letter for letter in "TZC" if len({found.get(letter) for found in numbers}) > 1]
    values = {axis: sorted({found.get(axis, -1) for found in numbers}) for axis in letters}
    shape = tuple(len(values[axis]) for axis in letters)
    positions = [
        tuple(values[axis].index(found.get(axis, -1)) for axis in letters) for found in numbers
    ]
    complete = len(positions) / math.prod(shape)
    if letters == ["C"] and len(names) > MAX_CHANNELS:
        return None
    if not letters or len(set(positions)) < len(positions) or complete < MIN_COMPLETE:
        return None
    files = np.full(shape, -1)
    for number, position in enumerate(positions):
        files[position] = number
    return NamedAxes("".join(letters), files)
