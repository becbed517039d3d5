from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io import results
from napari_vrp_sam.io.images import read_labels, read_stack
from napari_vrp_sam.io.results import ProbabilityWriter, label_writer

U8 = np.dtype(np.uint8)


def test_file_in_any_order(tmp_path: Path) -> None:
    writer = label_writer(tmp_path / "a.tif", (2, 3, 20, 30), U8, "TZYX")
    for index in (5, 0):
        writer.write(index, np.full((20, 30), index + 1, np.uint8))
    assert not list(tmp_path.iterdir())
    writer.close()
    labels, axes = read_stack(tmp_path / "a.tif")
    assert axes == "TZYX"
    assert np.asarray(labels)[..., 0, 0].tolist() == [[1, 0, 0], [0, 0, 6]]


def test_folder_frame_by_frame(tmp_path: Path) -> None:
    writer = label_writer(tmp_path / "out", (3, 20, 30), U8, "ZYX", names=["a", "b", "c"])
    writer.write(1, np.full((20, 30), 4, np.uint8))
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == "b.png"
    assert read_labels(file).max() == 4
    large = label_writer(tmp_path / "out", (3, 20, 30), np.dtype(np.uint32), "ZYX")
    large.write(2, np.full((20, 30), 70000, np.uint32))
    assert tifffile.imread(tmp_path / "out/2.tif").max() == 70000


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"choose a \.tif file, or a folder"):
        label_writer(tmp_path / "a.png", (3, 20, 30), U8, "ZYX")
    with pytest.raises(InputError, match=r"use \.tif"):
        ProbabilityWriter(tmp_path / "a.npy", (3, 1, 20, 30), "ZCYX")


def test_probabilities(tmp_path: Path) -> None:
    writer = ProbabilityWriter(tmp_path / "p.tif", (3, 2, 20, 30), "ZCYX")
    given = np.random.default_rng(0).random((2, 20, 30), dtype=np.float32)
    writer.write(1, given)
    writer.close()
    array, axes = read_stack(tmp_path / "p.tif")
    assert (axes, array.dtype) == ("ZCYX", np.float32)
    np.testing.assert_array_equal(array[1], given)
    assert [path.name for path in tmp_path.iterdir()] == ["p.tif"]


def test_discarded_probabilities_leave_nothing(tmp_path: Path) -> None:
    writer = ProbabilityWriter(tmp_path / "p.tif", (3, 2, 20, 30), "ZCYX")
    writer.discard()
    assert not list(tmp_path.iterdir())


def test_a_disk_too_small_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(results.shutil, "disk_usage", lambda _: usage(1000))
    with pytest.raises(InputError, match="no room"):
        ProbabilityWriter(tmp_path / "p.tif", (3, 2, 20, 30), "ZCYX")
    assert not list(tmp_path.iterdir())
