"""Values of session files that JSON cannot express: NaN, arrays, numbered keys, moving paths."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, PlainSerializer, SerializationInfo, ValidationInfo

from napari_vrp_sam.files import write_json

FLOAT, PAIRS = "@float", "@pairs"
"""Keys of the objects that stand for NaN and infinity, and for mappings with non-string keys."""


def to_json_value(value: Any) -> Any:
    """Return a value as dicts, lists, strings, finite numbers, booleans and None.

    Raises
    ------
    TypeError
        If the value contains an object of any other type.
    """
    if isinstance(value, Enum):
        return to_json_value(value.value)
    if isinstance(value, np.ndarray | np.generic):
        return to_json_value(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return {FLOAT: str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json_value(item) for item in value]
    if isinstance(value, Mapping):
        pairs = [[to_json_value(key), to_json_value(item)] for key, item in value.items()]
        named = all(isinstance(key, str) and not key.startswith("@") for key, _ in pairs)
        return dict(pairs) if named else {PAIRS: pairs}
    raise TypeError(f"{type(value).__name__} cannot be saved as JSON")


def from_json_value(value: Any) -> Any:
    """Invert `to_json_value`; arrays, tuples and sets become lists."""
    if isinstance(value, list):
        return [from_json_value(item) for item in value]
    if not isinstance(value, dict):
        return value
    if FLOAT in value:
        return float(value[FLOAT])
    pairs = value[PAIRS] if PAIRS in value else value.items()
    return {key: from_json_value(item) for key, item in pairs}


def json_copy(value: Any) -> Any:
    """Return a copy of a value as if it had been saved and read; raises as `to_json_value`."""
    return from_json_value(to_json_value(value))


def write_values(path: Path, value: Any) -> None:
    """Write a value as JSON."""
    write_json(path, to_json_value(value))


def read_values(path: Path) -> Any:
    """Read a value from JSON."""
    return from_json_value(json.loads(path.read_text("utf-8")))


def _session_folder(info: SerializationInfo | ValidationInfo) -> Path:
    assert info.context is not None
    return Path(info.context["folder"])


def _portable_path(path: Path, info: SerializationInfo) -> dict[str, str]:
    path, folder = path.absolute(), _session_folder(info)
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive of Windows
        relative = str(path)
    return {"path": str(path), "relative": relative}


def _portable_model(model: str, info: SerializationInfo) -> Any:
    return _portable_path(Path(model), info) if Path(model).is_file() else model


def _current_path(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, dict):
        return value
    beside = Path(os.path.normpath(_session_folder(info) / value["relative"]))
    return str(beside if beside.exists() else value["path"])


JsonEncoded = BeforeValidator(from_json_value), PlainSerializer(to_json_value)
"""Annotations of fields that are saved as `to_json_value` returns them."""
PortablePath = Annotated[Path, BeforeValidator(_current_path), PlainSerializer(_portable_path)]
"""Path that is stored both absolute and relative to the session: both may be moved together."""
PortableModel = Annotated[str, BeforeValidator(_current_path), PlainSerializer(_portable_model)]
"""Name of a model, or path of its file."""
