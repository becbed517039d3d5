"""Probabilities that a session keeps: the same after reading, and one sentence if damaged."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.sessions.levels import PROBABILITIES, StoredLevels, read_levels, write_levels

STORED = StoredLevels(
    (1, 4),
    (2, 30, 40),
    {"thresholds": {"4": 0.3}, "min_size": 5},
    levels={0: bytes(range(200)), 12: b"x" * 300},
    computed={12: b"labels"},
    changed={12: b"pixels"},
)


def test_kept_probabilities_are_the_identity(tmp_path):
    write_levels(tmp_path, STORED)
    found = read_levels(tmp_path / PROBABILITIES)
    assert vars(found) == vars(STORED)


def test_damaged_files_are_refused_in_one_sentence(tmp_path):
    write_levels(tmp_path, STORED)
    path = tmp_path / PROBABILITIES
    whole = path.read_bytes()
    for content in (b"", whole[:50], whole[: len(whole) // 2], whole[:-30]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="segment the stack again to change the threshold"):
            read_levels(path)
    np.savez(path, described=np.array("{}"))
    with pytest.raises(InputError, match="cannot be read"):
        read_levels(path)
    path.unlink()
    with pytest.raises(InputError, match="cannot be read") as refused:
        read_levels(path)
    assert "\n" not in str(refused.value)
