"""Kept probabilities of a result in a session."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_vrp_sam.errors import InputError, reason

PROBABILITIES = "probabilities.npz"
_PARTS = "levels", "computed", "changed"


@dataclass(frozen=True, eq=False)
class StoredLevels:
    """Compressed probabilities of the frames of a result.

    Attributes
    ----------
    class_ids : tuple of int
        The K classes, ascending.
    shape : tuple of int
        (K, Y, X).
    settings : dict
        Settings by which the run computed the labels, as `RelabelSettings.as_dict` returns them.
    levels : dict of int to bytes
        Data of `CompressedLevels`, by index of the frame.
    computed, changed : dict of int to bytes
        Compressed labels by later settings, and pixels that the user has changed.
    """

    class_ids: tuple[int, ...]
    shape: tuple[int, ...]
    settings: Mapping[str, Any]
    levels: Mapping[int, bytes]
    computed: Mapping[int, bytes] = field(default_factory=dict)
    changed: Mapping[int, bytes] = field(default_factory=dict)


def write_levels(folder: Path, stored: StoredLevels) -> None:
    """Write kept probabilities into the folder of a session."""
    described = {
        "class_ids": list(stored.class_ids),
        "shape": list(stored.shape),
        "settings": stored.settings,
    }
    arrays: dict[str, Any] = {"described": np.array(json.dumps(described))}
    for part in _PARTS:
        for index, data in getattr(stored, part).items():
            arrays[f"{part}/{index}"] = np.frombuffer(data, np.uint8)
    with (folder / PROBABILITIES).open("wb") as file:
        np.savez(file, **arrays)  # the levels are already compressed


def read_levels(path: Path) -> StoredLevels:
    """Read kept probabilities of a session.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            described = json.loads(str(arrays["described"]))
            found: dict[str, dict[int, bytes]] = {part: {} for part in _PARTS}
            for name in arrays.files:
                part, _, index = name.partition("/")
                if part in found:
                    found[part][int(index)] = arrays[name].tobytes()
        return StoredLevels(
            tuple(described["class_ids"]),
            tuple(described["shape"]),
            described["settings"],
            **found,
        )
    except Exception as error:  # damaged files raise exceptions of any type
        raise InputError(
            f"The probabilities in {path} cannot be read ({reason(error)}): segment the stack "
            "again to change the threshold."
        ) from error
