"""The Export button and File > Save Selected Layers write the formats of other programs."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas
import napari
import numpy as np
import pandas as pd
import pytest
import rasterio
import roifile
import tifffile
from napari.layers import Labels
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_vrp_sam.inference.objects.find import objects_from_labels
from napari_vrp_sam.plugin.layers.calibration import SOURCE
from napari_vrp_sam.plugin.layers.metadata import set_metadata
from napari_vrp_sam.plugin.layers.outputs.objects import add_objects_layer
from napari_vrp_sam.plugin.layers.stacks import ImageLayout
from napari_vrp_sam.plugin.segment.result.export_button import ExportButton

TRANSFORM = (10.0, 0.0, 500000.0, 0.0, -10.0, 5300000.0)


class Idle(QObject):
    """No labels are being computed."""

    finished = Signal()
    busy = False


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.zeros((3, 40, 60), np.uint8)
    labels[:, 5:15, 10:30] = 1
    labels[1, 20:30, 40:50] = 2
    return labels


@pytest.fixture
def viewer(make_napari_viewer_proxy: Any, labels: np.ndarray) -> napari.Viewer:
    viewer = make_napari_viewer_proxy()
    image = viewer.add_image(
        labels * 90, name="cells.x", scale=(2, 0.5, 0.5), units="um", contrast_limits=(0, 200)
    )
    layer = viewer.add_labels(labels.copy(), name="result", scale=(2, 0.5, 0.5), units="um")
    set_metadata(
        layer, **{"result of": image.unique_id, "axes": "TYX", "confidence": {1: 0.5},
                  "classes": [{"number": 1, "name": "nucleus", "colour": "#fff"}]}
    )  # fmt: skip
    return viewer


@pytest.fixture
def button(qtbot: Any, viewer: napari.Viewer) -> ExportButton:
    box = SimpleNamespace(layer=viewer.layers["cells.x"].__wrapped__)
    button = ExportButton(viewer, box, Idle())
    qtbot.addWidget(button)
    yield button
    button.release()


def saved(qtbot: Any, button: ExportButton, content: str, path: Path) -> Path:
    with qtbot.waitSignal(
        button.reported, check_params_cb=lambda text: "Saved" in text, timeout=20_000
    ):
        button.export(content, path)
    return path


def test_labels_in_every_format(
    qtbot: Any, button: ExportButton, labels: np.ndarray, tmp_path: Path
) -> None:
    content = json.loads(saved(qtbot, button, "labels", tmp_path / "a.json").read_text())
    assert [c["name"] for c in content["categories"]] == ["nucleus", "class 2"]
    assert [a.get("score") for a in content["annotations"]] == [None, 0.5, 0.5, None]
    rois = roifile.roiread(saved(qtbot, button, "labels", tmp_path / "a.zip"))
    assert [roi.t_position for roi in rois] == [1, 2, 2, 3]
    polygons = geopandas.read_file(saved(qtbot, button, "labels", tmp_path / "a.gpkg"))
    assert polygons["area_um2"].tolist() == [50, 50, 25, 50]
    with tifffile.TiffFile(saved(qtbot, button, "labels", tmp_path / "a.tif")) as file:
        assert (file.imagej_metadata or {})["unit"] == "um"
        np.testing.assert_array_equal(file.asarray(), labels)
    with tifffile.TiffFile(saved(qtbot, button, "labels", tmp_path / "a.ome.tif")) as file:
        assert file.is_ome
    location = parse_url(str(saved(qtbot, button, "labels", tmp_path / "a.zarr")))
    assert location is not None
    (node,) = Reader(location)()
    assert node.metadata["coordinateTransformations"][0][0]["scale"] == [2, 0.5, 0.5]
    saved(qtbot, button, "labels", tmp_path / "a.gif")
    saved(qtbot, button, "labels", tmp_path / "b.png")
    assert len(list(tmp_path.glob("b_*.png"))) == 3


def test_objects_have_ids_and_classes(
    qtbot: Any, button: ExportButton, viewer: napari.Viewer, labels: np.ndarray, tmp_path: Path
) -> None:
    button.refresh()
    assert not button.actions_by_content["objects"].isEnabled()
    image = viewer.layers["cells.x"].__wrapped__
    found = objects_from_labels(labels, axes="TYX", linked=True)
    add_objects_layer(viewer, ImageLayout(image, "TYX"), found)
    button.refresh()
    assert button.actions_by_content["objects"].isEnabled()
    polygons = geopandas.read_file(saved(qtbot, button, "objects", tmp_path / "a.geojson"))
    assert polygons["object"].tolist() == [1, 1, 2, 1]
    assert polygons["class"].tolist() == [1, 1, 2, 1]
    table = pd.read_parquet(saved(qtbot, button, "table", tmp_path / "t.parquet"))
    assert table["index"].tolist() == [1, 2]


def test_a_scene_keeps_its_place(
    qtbot: Any, make_napari_viewer_proxy: Any, labels: np.ndarray, tmp_path: Path
) -> None:
    with rasterio.open(
        tmp_path / "scene.tif", "w", driver="GTiff", height=40, width=60, count=1, dtype="uint8",
        crs="EPSG:32633", transform=rasterio.Affine(*TRANSFORM),
    ) as file:  # fmt: skip
        file.write(labels[1], 1)
    viewer = make_napari_viewer_proxy()
    image = viewer.add_image(labels[1], name="scene")
    set_metadata(image, **{SOURCE: str(tmp_path / "scene.tif")})
    layer = viewer.add_labels(labels[1].copy())
    set_metadata(layer, **{"result of": image.unique_id, "axes": "YX"})
    button = ExportButton(viewer, SimpleNamespace(layer=image.__wrapped__), Idle())
    qtbot.addWidget(button)
    polygons = geopandas.read_file(saved(qtbot, button, "labels", tmp_path / "a.gpkg"))
    assert polygons.crs.to_epsg() == 32633
    assert polygons.total_bounds.tolist() == [500100, 5299700, 500500, 5299950]
    with rasterio.open(saved(qtbot, button, "labels", tmp_path / "a.tif")) as file:
        assert tuple(file.transform)[:6] == TRANSFORM
    button.release()


@pytest.mark.parametrize(
    ("typed", "kind", "expected"),
    [
        ("cells_labels.tif", "COCO (*.json)", "cells_labels.json"),
        ("mine", "GeoPackage (*.gpkg)", "mine.gpkg"),
        ("mine.zip", "COCO (*.json)", "mine.zip"),
    ],
)
def test_the_dialog_offers_the_formats(
    qtbot: Any, button: ExportButton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    typed: str, kind: str, expected: str,
) -> None:  # fmt: skip
    asked = []

    def choose(_parent: Any, _title: str, proposed: str, filters: str) -> tuple[str, str]:
        asked.append((Path(proposed).name, filters))
        return str(tmp_path / typed), kind

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    with qtbot.waitSignal(
        button.reported, check_params_cb=lambda text: text == f"Saved {expected}."
    ):
        button.actions_by_content["labels"].trigger()
    name, filters = asked[0]
    assert name == "cells_labels.tif"
    assert filters.split(";;")[0] == "TIFF (*.tif)"
    assert kind in filters


def test_pictures_ask_before_they_replace_files(
    qtbot: Any, button: ExportButton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "a_1.png"
    kept.write_bytes(b"mine")
    chosen = str(tmp_path / "a.png"), "PNG overlays (*.png)"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: chosen)
    asked = []
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]

    def ask(*arguments: Any) -> Any:
        asked.append(arguments[2])
        return answers[len(asked) - 1]

    monkeypatch.setattr(QMessageBox, "question", ask)
    button.actions_by_content["labels"].trigger()
    assert asked == ["Replace a_1.png?"]
    assert kept.read_bytes() == b"mine"
    with qtbot.waitSignal(button.reported, check_params_cb=lambda text: "Saved" in text):
        button.actions_by_content["labels"].trigger()
    assert kept.read_bytes() != b"mine"


def test_an_unknown_format_is_refused(qtbot: Any, button: ExportButton, tmp_path: Path) -> None:
    with qtbot.waitSignal(button.warned) as warned:
        button.export("labels", tmp_path / "a.shp")
    assert "use one of .tif, .ome.tif, .zarr, .gpkg" in warned.args[0]


def test_save_selected_layers(viewer: napari.Viewer, labels: np.ndarray, tmp_path: Path) -> None:
    """Through npe2, as File > Save Selected Layers does."""
    viewer.layers.selection = {viewer.layers["result"]}
    for name in ("a.gpkg", "a.geojson", "a.json", "a.zip", "a.zarr"):
        written = viewer.layers.save(str(tmp_path / name), selected=True, plugin="napari-vrp-sam")
        assert written == [str(tmp_path / name)]
    assert geopandas.read_file(tmp_path / "a.gpkg")["class_name"][0] == "nucleus"
    assert len(roifile.roiread(tmp_path / "a.zip")) == 4
    location = parse_url(str(tmp_path / "a.zarr"))
    assert location is not None
    (node,) = Reader(location)()
    np.testing.assert_array_equal(np.asarray(node.data[0]), labels)
    assert [axis["unit"] for axis in node.metadata["axes"][1:]] == ["micrometer"] * 2
    assert isinstance(viewer.layers["result"].__wrapped__, Labels)
