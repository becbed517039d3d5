"""Labels lie exactly over their scene, judged by rasterio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.opening import open_image
from napari_vrp_sam.io.images.stacks import read_labels
from napari_vrp_sam.io.labels import geotiff
from napari_vrp_sam.io.labels.files import write_labels
from napari_vrp_sam.io.labels.probabilities import ProbabilityWriter, read_probabilities
from napari_vrp_sam.io.labels.writers import write_label_frames
from napari_vrp_sam.io.metadata import ImageMetadata

UTM = CRS.from_epsg(32633)
TRANSFORM = (10.0, 0.0, 500000.0, 0.0, -10.0, 5300000.0)
SCENE = ImageMetadata(
    pixel_size={"Y": 10.0, "X": 10.0},
    units={"Y": "metre", "X": "metre"},
    nodata=0,
    crs=UTM.to_wkt(),
    transform=TRANSFORM,
)


def labels_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3, shape, dtype=np.uint8)


@pytest.mark.parametrize("name", ["a.tif", "a.TIFF"])
def test_labels_of_a_scene(tmp_path: Path, name: str) -> None:
    labels = labels_of((700, 600))
    write_labels(tmp_path / name, labels, "YX", SCENE)
    with rasterio.open(tmp_path / name) as file:
        assert file.crs == UTM
        assert tuple(file.transform)[:6] == TRANSFORM
        assert file.nodata == 0
        np.testing.assert_array_equal(file.read(1), labels)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.overviews(1) == [2]
    with rasterio.open(tmp_path / name, overview_level=0) as file:
        assert set(np.unique(file.read(1))) <= set(np.unique(labels))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_two_dates_are_two_bands(tmp_path: Path) -> None:
    labels = labels_of((2, 600, 40)).astype(np.uint16) * 300
    pages = iter(labels)
    path = tmp_path / "a.tif"
    write_label_frames(path, pages, labels.shape, labels.dtype, "TYX", metadata=SCENE)
    with rasterio.open(path) as file:
        assert file.descriptions == ("T=0", "T=1")
        assert file.dtypes == ("uint16", "uint16")
        np.testing.assert_array_equal(file.read(), labels)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    stored = open_image(path)
    assert stored.axes == "TYX"
    assert stored.metadata.crs == UTM.to_wkt()
    np.testing.assert_array_equal(np.asarray(read_labels(path)), labels)


def test_rows_are_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geotiff, "ROWS", 64)
    sizes = []

    def read(band: int, rows: slice) -> np.ndarray:
        sizes.append(len(labels[band, rows]))
        return labels[band, rows]

    labels = labels_of((1, 150, 80))
    geotiff.write_geotiff(tmp_path / "a.tif", read, labels.shape, labels.dtype, SCENE)
    assert sizes == [64, 64, 22]
    with rasterio.open(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.read(), labels)


def test_rotated_scene_without_crs(tmp_path: Path) -> None:
    metadata = ImageMetadata(transform=(0.5, 0.1, 10.0, 0.1, -0.5, 20.0))
    write_labels(tmp_path / "a.tif", labels_of((20, 30)), "YX", metadata)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.crs is None
        assert tuple(file.transform)[:6] == pytest.approx(metadata.transform)


def test_scenes_in_a_folder_are_geotiff(tmp_path: Path) -> None:
    labels = labels_of((2, 20, 30))
    write_label_frames(
        tmp_path / "out", iter(labels), labels.shape, labels.dtype, "ZYX", metadata=SCENE
    )
    with rasterio.open(tmp_path / "out/1.tif") as file:
        assert file.crs == UTM
        np.testing.assert_array_equal(file.read(1), labels[1])


@pytest.mark.parametrize("axes", ["CYX", "TCYX"])
@pytest.mark.parametrize("classes", [1, 2, 3, 4])
def test_probabilities(tmp_path: Path, axes: str, classes: int) -> None:
    """Three or four bands are not colours."""
    shape = (*{"CYX": (), "TCYX": (3,)}[axes], classes, 20, 30)
    levels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    ids = tuple(range(1, 2 * classes, 2))
    writer = ProbabilityWriter(tmp_path / "p.tif", shape, axes, ids, SCENE)
    frames = levels.reshape(-1, classes, 20, 30)
    for index, frame in enumerate(frames):
        writer.write(index, frame)
    writer.close()
    with rasterio.open(tmp_path / "p.tif") as file:
        assert file.crs == UTM
        last = f"class {ids[-1]}"
        assert file.descriptions[-1] == (last if axes == "CYX" else f"T=2, {last}")
        np.testing.assert_array_equal(file.read(), levels.reshape(-1, 20, 30))
    stored = read_probabilities(tmp_path / "p.tif")
    assert (stored.class_ids, stored.label_axes) == (ids, axes.replace("C", ""))
    np.testing.assert_array_equal(np.stack(list(stored)), frames)
    assert stored.metadata.transform == TRANSFORM


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_vrp_sam.io.optional.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"GeoTIFF files need .*napari-vrp-sam\[geo\]"):
        ProbabilityWriter(tmp_path / "p.tif", (1, 20, 30), "CYX", (1,), SCENE)
