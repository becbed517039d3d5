"""Values as JSON has them, and back: arrays, tuples, NaN and mappings from numbers survive."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from napari_vrp_sam.files import write_json

FLOAT, PAIRS = "@float", "@pairs"
"""Marks of what JSON has no words for: NaN and infinity, and keys that are no strings."""


def plain(value: Any) -> Any:
    """A value made of dicts, lists, strings, numbers, booleans and None.

    Raises
    ------
    TypeError
        If there is something else in it.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {FLOAT: str(value)}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        pairs = [(plain(key), plain(item)) for key, item in value.items()]
        if all(isinstance(key, str) and not key.startswith("@") for key, _ in pairs):
            return dict(pairs)
        return {PAIRS: [list(pair) for pair in pairs]}
    raise TypeError(f"{type(value).__name__} cannot be kept as JSON")


def restored(value: Any) -> Any:
    """What `plain` made plain; arrays, tuples and sets come back as lists."""
    if isinstance(value, list):
        return [restored(item) for item in value]
    if not isinstance(value, dict):
        return value
    if FLOAT in value:
        return float(value[FLOAT])
    if PAIRS in value:
        return {key: restored(item) for key, item in value[PAIRS]}
    return {key: restored(item) for key, item in value.items()}


def as_kept(value: Any) -> Any:
    """A copy of a value as it would come back; raises as `plain` does."""
    return restored(plain(value))


def write_plain(path: Path, value: Any) -> None:
    """Write a value as JSON."""
    write_json(path, plain(value))


def read_plain(path: Path) -> Any:
    """Read what `write_plain` wrote."""
    return restored(json.loads(path.read_text("utf-8")))
