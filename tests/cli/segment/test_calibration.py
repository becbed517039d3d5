"""Results of `vrp-sam` keep calibration and place of the image, judged by the formats' readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import tifffile
from typer.testing import CliRunner

from napari_vrp_sam import Segmenter, open_image
from napari_vrp_sam.cli import app
from napari_vrp_sam.io.samples import sample_stack

TRANSFORM = (10.0, 0.0, 500000.0, 0.0, -10.0, 5300000.0)


def run(*arguments: Any) -> None:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output


def segment(image: Path, *options: Any) -> None:
    run("segment", image, "--device", "cpu", "--effort", "0.1", *options)


@pytest.fixture
def stack(tmp_path: Path) -> np.ndarray:
    stack, truth = sample_stack(seed=0, size=64, frames=2)
    tifffile.imwrite(tmp_path / "ref.tif", truth[1].astype(np.uint8))
    return stack


def test_a_calibrated_stack(tmp_path: Path, stack: np.ndarray) -> None:
    image = tmp_path / "cal.tif"
    tifffile.imwrite(
        image, stack, imagej=True, resolution=(1 / 0.108, 1 / 0.108),
        metadata={"axes": "ZYX", "spacing": 0.5, "unit": "um"},
    )  # fmt: skip
    segment(
        image, "--reference", tmp_path / "ref.tif", "--reference-frame", 1,
        "--probabilities", tmp_path / "p.tif",
    )  # fmt: skip
    labels, table = tmp_path / "cal_labels.tif", tmp_path / "t.csv"
    run("objects", labels, "--link", "--table", table)
    run("relabel", tmp_path / "p.tif", "--output", tmp_path / "again.ome.tif")
    for path in (labels, tmp_path / "p.tif", tmp_path / "cal_objects.tif"):
        with tifffile.TiffFile(path) as file:
            found = file.imagej_metadata or {}
            assert (found["unit"], found["spacing"]) == ("um", 0.5), path
            assert file.pages[0].resolution == pytest.approx((1 / 0.108, 1 / 0.108), rel=1e-5)
    with tifffile.TiffFile(tmp_path / "again.ome.tif") as file:
        pixels = tifffile.xml2dict(file.ome_metadata or "")["OME"]["Image"]["Pixels"]
        assert pixels["PhysicalSizeX"] == pytest.approx(0.108, rel=1e-5)
        assert (pixels["PhysicalSizeZ"], pixels["PhysicalSizeZUnit"]) == (0.5, "µm")
        np.testing.assert_array_equal(file.asarray(), tifffile.imread(labels))
    objects = pd.read_csv(table)
    np.testing.assert_allclose(objects["area_um2"], objects["area"] * 0.108**2, rtol=1e-5)
    np.testing.assert_allclose(objects["volume_um3"], objects["volume"] * 0.108**2 * 0.5, rtol=1e-5)
    np.testing.assert_allclose(objects["x_um"], objects["x"] * 0.108, rtol=1e-5)


def test_a_calibrated_file_in_python(tmp_path: Path, stack: np.ndarray) -> None:
    image = tmp_path / "cal.ome.tif"
    metadata = {"axes": "TYX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2}
    tifffile.imwrite(image, stack, metadata=metadata)
    segmenter = Segmenter(device="cpu", effort=0.1)
    segmenter.fit(image, tifffile.imread(tmp_path / "ref.tif"), reference_frame=1)
    result = segmenter.predict(open_image(image), output=tmp_path / "labels.ome.tif")
    assert result.axes == "TYX"
    result.export(tmp_path / "again.ome.tif")
    for name in ("labels.ome.tif", "again.ome.tif"):
        with tifffile.TiffFile(tmp_path / name) as file:
            pixels = tifffile.xml2dict(file.ome_metadata or "")["OME"]["Image"]["Pixels"]
            assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (0.2, "µm")
            np.testing.assert_array_equal(file.asarray(), np.asarray(result.labels))
    table = result.objects(linked=True).table
    np.testing.assert_allclose(table["area_um2"], table["area"] * 0.04)


def test_tiles_in_a_folder_keep_their_places(tmp_path: Path, stack: np.ndarray) -> None:
    (tmp_path / "tiles").mkdir()
    for column in range(2):
        place = rasterio.Affine(10, 0, 500000 + 640 * column, 0, -10, 5300000)
        with rasterio.open(
            tmp_path / f"tiles/x{column}.tif", "w", driver="GTiff", height=64, width=64, count=1,
            dtype="uint8", crs="EPSG:32633", transform=place,
        ) as file:  # fmt: skip
            file.write(stack[column], 1)
    segment(
        tmp_path / "tiles", "--reference", tmp_path / "ref.tif", "--reference-frame", 1,
        "--output", tmp_path / "out",
    )  # fmt: skip
    for column in range(2):
        with rasterio.open(tmp_path / f"out/x{column}.tif") as file:
            assert file.crs.to_epsg() == 32633
            assert file.transform.c == 500000 + 640 * column


def test_a_scene(tmp_path: Path, stack: np.ndarray) -> None:
    with rasterio.open(
        tmp_path / "scene.tif", "w", driver="GTiff", height=64, width=64, count=1, dtype="uint8",
        crs="EPSG:32633", transform=rasterio.Affine(*TRANSFORM),
    ) as file:  # fmt: skip
        file.write(stack[1], 1)
    segment(
        tmp_path / "scene.tif", "--reference", tmp_path / "ref.tif",
        "--probabilities", tmp_path / "p.tif", "--output", tmp_path / "labels.tif",
    )  # fmt: skip
    run("objects", tmp_path / "labels.tif", "--table", tmp_path / "t.parquet")
    for name in ("labels.tif", "p.tif", "labels_objects.tif"):
        with rasterio.open(tmp_path / name) as file:
            assert file.crs.to_epsg() == 32633
            assert tuple(file.transform)[:6] == TRANSFORM
            assert file.nodata == 0
            assert file.shape == (64, 64)
    objects = pd.read_parquet(tmp_path / "t.parquet")
    assert (objects["area_m2"] == objects["area"] * 100).all()
    assert objects["x_m"].between(500000, 500640).all()
    assert objects["y_m"].between(5299360, 5300000).all()
