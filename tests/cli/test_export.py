from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import roifile
import tifffile
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from PIL import Image
from typer.testing import CliRunner

from napari_vrp_sam.cli import app

TRANSFORM = (10.0, 0.0, 500000.0, 0.0, -10.0, 5300000.0)


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)))


def export(*arguments: Any) -> None:
    result = run("export", *arguments)
    assert result.exit_code == 0, result.output
    assert "The labels are in" in result.output


@pytest.fixture
def scene(tmp_path: Path) -> np.ndarray:
    """labels.tif in a CRS, and the image scene.tif."""
    labels = np.zeros((64, 80), np.uint8)
    labels[10:20, 30:50] = 1
    labels[40:50, 5:15] = 3
    options = {
        "driver": "GTiff", "height": 64, "width": 80, "count": 1, "dtype": "uint8",
        "crs": "EPSG:32633", "transform": rasterio.Affine(*TRANSFORM),
    }  # fmt: skip
    for name, pixels in (("labels.tif", labels), ("scene.tif", labels * 50)):
        with rasterio.open(tmp_path / name, "w", **options) as file:
            file.write(pixels, 1)
    return labels


def test_polygons_of_a_scene(tmp_path: Path, scene: np.ndarray) -> None:
    export(tmp_path / "labels.tif", tmp_path / "a.gpkg", "--class-name", "1=field")
    found = geopandas.read_file(tmp_path / "a.gpkg")
    assert found.crs.to_epsg() == 32633
    assert found.total_bounds.tolist() == [500050, 5299500, 500500, 5299900]
    assert found["class_name"].tolist() == ["field", "class 3"]
    assert found["area_m2"].tolist() == [20000, 10000]


def test_labels_without_a_place_take_that_of_the_image(tmp_path: Path, scene: np.ndarray) -> None:
    Image.fromarray(scene).save(tmp_path / "plain.png")
    export(tmp_path / "plain.png", tmp_path / "a.tif", "--image", tmp_path / "scene.tif")
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.crs.to_epsg() == 32633
        np.testing.assert_array_equal(file.read(1), scene)


def test_objects_have_the_classes_of_their_table(tmp_path: Path, scene: np.ndarray) -> None:
    result = run("objects", tmp_path / "labels.tif", "--table", tmp_path / "t.csv")
    assert result.exit_code == 0, result.output
    ids = tmp_path / "labels_objects.tif"
    export(ids, tmp_path / "a.json", "--table", tmp_path / "t.csv")
    content = json.loads((tmp_path / "a.json").read_text())
    assert [one["category_id"] for one in content["annotations"]] == [1, 3]
    export(ids, tmp_path / "b.json", "--objects")
    content = json.loads((tmp_path / "b.json").read_text())
    assert [one["track_id"] for one in content["annotations"]] == [1, 2]


def test_labels_inside_their_ome_zarr_image(files: Path) -> None:
    export(files / "truth.tif", files / "image.zarr")
    export(files / "truth.tif", files / "image.zarr/labels/cells", "--image", files / "image.zarr")
    location = parse_url(str(files / "image.zarr"))
    assert location is not None
    names = [node.metadata.get("name") for node in Reader(location)()]
    assert names == ["image", None, "cells"]


def test_axes_and_positions(files: Path) -> None:
    export(files / "truth.tif", files / "a.zip", "--axes", "TYX")
    assert {roi.t_position for roi in roifile.roiread(files / "a.zip")} == {1, 2, 3, 4, 5}


def test_pictures_need_the_image(files: Path) -> None:
    result = run("export", files / "truth.tif", files / "a.png")
    assert result.exit_code == 2
    assert "give the image" in " ".join(result.output.split())
    export(files / "truth.tif", files / "a.png", "--image", files / "stack.tif")
    assert len(list(files.glob("a_*.png"))) == 5
    again = run("export", files / "truth.tif", files / "a.png", "--image", files / "stack.tif")
    assert "already exists" in " ".join(again.output.split())
    export(files / "truth.tif", files / "a.gif", "--image", files / "stack.tif")


@pytest.mark.parametrize(
    ("output", "options", "problem"),
    [
        ("a.shp", [], "use one of .tif, .ome.tif, .zarr, .gpkg, .geojson, .json, .zip, .png"),
        ("truth.tif", [], "is an input"),
        ("a.json", ["--class-name", "nucleus"], "write CLASS=NAME"),
        ("a.json", ["--table", "truth.tif"], "use .csv or .parquet"),
        ("a.csv", [], "find their objects first"),
        ("a.zip", ["--tolerance", "-1"], "0 or more"),
    ],
)
def test_wrong_input_gets_one_sentence(
    files: Path, monkeypatch: pytest.MonkeyPatch, output: str, options: list[str], problem: str
) -> None:
    monkeypatch.chdir(files)
    before = tifffile.imread("truth.tif")
    result = run("export", "truth.tif", output, *options)
    assert result.exit_code == 2, result.output
    assert problem in " ".join(result.output.split())
    np.testing.assert_array_equal(tifffile.imread("truth.tif"), before)
