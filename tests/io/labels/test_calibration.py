"""Labels keep the calibration of their image, judged by the readers of the formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_vrp_sam.io.labels.files import write_labels
from napari_vrp_sam.io.labels.probabilities import ProbabilityWriter, read_probabilities
from napari_vrp_sam.io.labels.writers import label_writer, write_label_frames
from napari_vrp_sam.io.metadata import ImageMetadata

CALIBRATION = ImageMetadata(
    pixel_size={"T": 500.0, "Z": 500.0, "Y": 0.108, "X": 0.216},
    units={"T": "millisecond", "Z": "nanometer", "Y": "micrometer", "X": "micrometer"},
    origin={"Y": 10.8, "X": 21.6},
)


def stack(dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, (2, 3, 20, 30)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_imagej_file(tmp_path: Path, dtype: type) -> None:
    labels = stack(dtype)
    write_labels(tmp_path / "a.tif", labels, "TZYX", CALIBRATION)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_imagej
        found = file.imagej_metadata
        assert found is not None
        assert (found["unit"], found["spacing"], found["finterval"]) == ("um", 0.5, 0.5)
        assert (found["xorigin"], found["yorigin"]) == pytest.approx((-100, -100))
        assert file.pages[0].resolution == pytest.approx((1 / 0.216, 1 / 0.108), rel=1e-6)
        assert file.series[0].axes == "TZYX"
        np.testing.assert_array_equal(file.asarray(), labels)


@pytest.mark.parametrize(
    ("name", "dtype", "axes"),
    [("a.ome.tif", np.uint8, "TZYX"), ("a.tif", np.uint32, "TZYX"), ("a.tif", np.uint8, "ZTYX")],
)
def test_ome_tiff(tmp_path: Path, name: str, dtype: type, axes: str) -> None:
    """ImageJ's format supports neither 32-bit labels nor this order of the axes."""
    labels = stack(dtype)
    write_labels(tmp_path / name, labels, axes, CALIBRATION)
    with tifffile.TiffFile(tmp_path / name) as file:
        assert file.is_ome
        assert file.series[0].axes == axes
        np.testing.assert_array_equal(file.asarray(), labels)
        pixels = tifffile.xml2dict(file.ome_metadata or "")["OME"]["Image"]["Pixels"]
    expected = {
        "PhysicalSizeX": 0.216, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.108,
        "PhysicalSizeYUnit": "µm", "PhysicalSizeZ": 500.0, "PhysicalSizeZUnit": "nm",
        "TimeIncrement": 500.0, "TimeIncrementUnit": "ms",
    }  # fmt: skip
    assert {key: pixels[key] for key in expected} == expected
    assert len(pixels["Plane"]) == 6
    assert {(p["PositionX"], p["PositionXUnit"]) for p in pixels["Plane"]} == {(21.6, "µm")}


def test_frames_of_a_run(tmp_path: Path) -> None:
    labels = stack()
    for name in ("a.tif", "a.ome.tif", "folder"):
        pages = iter(labels.reshape(-1, 20, 30))
        write_label_frames(
            tmp_path / name, pages, labels.shape, labels.dtype, "TZYX", metadata=CALIBRATION
        )
    for name in ("a.tif", "folder/0.tif"):
        with tifffile.TiffFile(tmp_path / name) as file:
            assert (file.imagej_metadata or {})["unit"] == "um"
            assert file.pages[0].resolution == pytest.approx((1 / 0.216, 1 / 0.108), rel=1e-6)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert file.is_ome


def test_files_without_calibration_have_none(tmp_path: Path) -> None:
    writer = label_writer(tmp_path / "folder", (3, 20, 30), np.dtype(np.uint8), "ZYX")
    writer.write(0, stack()[0, 0])
    assert (tmp_path / "folder/0.png").exists()
    write_labels(tmp_path / "a.tif", stack(), "TZYX")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_imagej
        assert "unit" not in (file.imagej_metadata or {})
        assert "XResolution" not in file.pages[0].tags or file.pages[0].resolution == (1, 1)


@pytest.mark.parametrize("name", ["p.tif", "p.ome.tif", "p.zarr"])
@pytest.mark.parametrize("axes", ["CYX", "ZCYX", "TCYX", "TZCYX", "ZTCYX"])
def test_probabilities(tmp_path: Path, name: str, axes: str) -> None:
    shape = tuple({"T": 2, "Z": 3, "C": 2, "Y": 20, "X": 30}[axis] for axis in axes)
    levels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    writer = ProbabilityWriter(tmp_path / name, shape, axes, (4, 7), CALIBRATION)
    frames = levels.reshape(-1, *shape[-3:])
    for index in range(len(frames))[::-1]:
        writer.write(index, frames[index])
    writer.close()
    stored = read_probabilities(tmp_path / name)
    assert stored.class_ids == (4, 7)
    by_axes = {"".join(sorted(stored.label_axes)): stored}
    assert "".join(sorted(axes.replace("C", ""))) in by_axes
    if name.endswith(".tif"):
        np.testing.assert_array_equal(np.stack(list(stored)), frames)
        assert stored.label_axes == axes.replace("C", "")
        with tifffile.TiffFile(tmp_path / name) as file:
            assert (file.is_ome, file.is_imagej) == (
                name == "p.ome.tif" or axes == "ZTCYX", name == "p.tif" and axes != "ZTCYX"
            )  # fmt: skip
    else:
        given = "".join(axis for axis in axes if axis in "TZ")
        order = [given.index(axis) for axis in stored.label_axes[:-2]]
        expected = levels.transpose(*order, *range(len(order), levels.ndim))
        np.testing.assert_array_equal(np.stack(list(stored)), expected.reshape(-1, *shape[-3:]))
