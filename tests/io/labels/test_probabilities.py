from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.stacks import read_stack
from napari_vrp_sam.io.labels import probabilities as module
from napari_vrp_sam.io.labels.probabilities import ProbabilityWriter


def test_probabilities_are_read_as_they_were_written(tmp_path: Path) -> None:
    writer = ProbabilityWriter(tmp_path / "p.tif", (3, 2, 20, 30), "ZCYX")
    given = np.random.default_rng(0).integers(0, 256, (2, 20, 30), dtype=np.uint8)
    writer.write(1, given)
    writer.close()
    array, axes = read_stack(tmp_path / "p.tif")
    assert (axes, array.dtype) == ("ZCYX", np.uint8)
    np.testing.assert_array_equal(array[1], given)
    assert [path.name for path in tmp_path.iterdir()] == ["p.tif"]


def test_probabilities_keep_axes_of_any_order(tmp_path: Path) -> None:
    writer = ProbabilityWriter(tmp_path / "p.tif", (3, 4, 2, 20, 30), "ZTCYX")
    given = np.random.default_rng(0).integers(0, 256, (2, 20, 30), dtype=np.uint8)
    writer.write(5, given)
    writer.close()
    array, axes = read_stack(tmp_path / "p.tif")
    assert axes == "ZTCYX"
    np.testing.assert_array_equal(array[1, 1], given)


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"use \.tif"):
        ProbabilityWriter(tmp_path / "a.npy", (3, 1, 20, 30), "ZCYX")


def test_discarded_probabilities_leave_nothing(tmp_path: Path) -> None:
    writer = ProbabilityWriter(tmp_path / "p.tif", (3, 2, 20, 30), "ZCYX")
    writer.discard()
    assert not list(tmp_path.iterdir())


def test_a_small_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage(1000))
    with pytest.raises(InputError, match="has no space for"):
        ProbabilityWriter(tmp_path / "p.tif", (3, 2, 20, 30), "ZCYX")
    assert not list(tmp_path.iterdir())
