from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.stacks import read_labels, read_stack
from napari_vrp_sam.io.labels.files import write_labels


@pytest.mark.parametrize("axes", ["TZYX", "ZTYX"])
def test_labels_keep_axes_of_any_order(tmp_path: Path, axes: str) -> None:
    labels = np.random.default_rng(0).integers(0, 200, (3, 2, 20, 30), dtype=np.uint8)
    write_labels(tmp_path / "a.tif", labels, axes)
    array, read_axes = read_stack(tmp_path / "a.tif")
    assert read_axes == axes
    np.testing.assert_array_equal(np.asarray(array), labels)


@pytest.mark.parametrize(
    ("dtype", "axes"), [(np.uint8, "ZYX"), (np.uint16, "TYX"), (np.uint32, "ZYX")]
)
def test_labels_are_read_as_they_were_written(tmp_path: Path, dtype: type, axes: str) -> None:
    labels = np.random.default_rng(0).integers(0, 200, (3, 20, 30)).astype(dtype)
    write_labels(tmp_path / "new/a.tif", labels, axes)
    array, read_axes = read_stack(tmp_path / "new/a.tif")
    assert (read_axes, array.dtype) == (axes, dtype)
    np.testing.assert_array_equal(array, labels)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.tif"]


def test_one_frame_as_png(tmp_path: Path) -> None:
    labels = np.arange(600, dtype=np.uint16).reshape(20, 30)
    write_labels(tmp_path / "a.png", labels, "YX")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), labels)
    with pytest.raises(InputError, match=r"use \.tif"):
        write_labels(tmp_path / "b.png", labels[None], "ZYX")
    with pytest.raises(InputError, match=r"use \.tif or \.png"):
        write_labels(tmp_path / "b.jpg", labels, "YX")
