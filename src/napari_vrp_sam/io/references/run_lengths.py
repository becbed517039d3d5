"""Masks as run lengths, as COCO stores them; pycocotools crashes on damaged ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError

MOST_PIXELS = 1 << 28
"""Largest number of pixels of a mask."""


def decode_runs(encoded: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask that run lengths describe, column by column, starting with background.

    Parameters
    ----------
    encoded : mapping
        With "counts", which are numbers or their compressed text, and optionally "size".
    size : tuple of int
        Height and width, if the mapping has none.

    Raises
    ------
    InputError
        If the runs do not fill the mask, or it is too large.

    Examples
    --------
    >>> decode_runs({"size": [2, 3], "counts": [1, 2, 3]}, (2, 3)).astype(int)
    array([[0, 1, 0],
           [1, 0, 0]])
    """
    height, width = (int(side) for side in encoded.get("size") or size)
    counts = encoded["counts"]
    runs = _numbers(counts) if isinstance(counts, str | bytes) else [int(run) for run in counts]
    if min(height, width) < 0 or height * width > MOST_PIXELS:
        raise InputError(f"A mask has {height} x {width} pixels: masks may have up to 2^28.")
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise InputError(f"The run lengths of a mask do not fill its {height} x {width} pixels.")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def _numbers(text: str | bytes) -> list[int]:
    """Return the runs in COCO's text: differences from the run before the last, 5 bits a letter."""
    runs: list[int] = []
    value = shift = 0
    for letter in text.encode() if isinstance(text, str) else text:
        bits = letter - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs
