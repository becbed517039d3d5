"""Exports, judged by the readers of their formats."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import geopandas
import imageio.v3 as iio
import numpy as np
import pandas as pd
import pyogrio
import pytest
import roifile
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from rasterio.features import rasterize
from rasterio.transform import Affine
from skimage.draw import polygon2mask

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.exporting import export_labels
from napari_vrp_sam.io.exports.options import ExportOptions
from napari_vrp_sam.io.metadata import ImageMetadata

TRANSFORM = (0.5, 0.0, 500000.0, 0.0, -0.5, 5300000.0)
SCENE = ImageMetadata(
    {"Y": 0.5, "X": 0.5}, {"Y": "metre", "X": "metre"}, crs="EPSG:32633", transform=TRANSFORM
)
MICROSCOPE = ImageMetadata({"Y": 0.2, "X": 0.1}, {"Y": "micrometer", "X": "micrometer"})


@pytest.fixture
def labels() -> np.ndarray:
    """A ring with an island of another class in its hole, two parts that touch at a corner."""
    labels = np.zeros((40, 60), np.uint8)
    labels[5:20, 6:26] = 1
    labels[9:16, 10:20] = 0
    labels[11:14, 13:16] = 2
    labels[25:30, 30:35] = labels[30:35, 35:40] = 1
    labels[39, 59] = 2
    return labels


@pytest.fixture
def stack(labels: np.ndarray) -> np.ndarray:
    return np.stack([labels, np.zeros_like(labels), labels[::-1]])


def read(path: Path) -> geopandas.GeoDataFrame:
    return geopandas.read_file(path, engine="pyogrio")


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_polygons_lie_exactly_over_the_scene(
    tmp_path: Path, labels: np.ndarray, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    export_labels(labels, path, metadata=SCENE, class_names={1: "field"}, confidence={0: 0.75})
    found = read(path)
    assert found.crs.to_epsg() == 32633
    assert found.geometry.is_valid.all()
    again = rasterize(
        zip(found.geometry, found["class"], strict=True), labels.shape,
        transform=Affine(*TRANSFORM),
    )  # fmt: skip
    np.testing.assert_array_equal(again, labels)
    assert found["class_name"].tolist() == ["field", "class 2", "field", "class 2"]
    assert found["object"].tolist() == [1, 2, 3, 4]
    assert found["score"].tolist() == [0.75] * 4
    pixels = [15 * 20 - 7 * 10, 9, 50, 1]
    np.testing.assert_allclose(found["area"], np.array(pixels) * 0.25)
    np.testing.assert_allclose(found["area_m2"], found.area)
    parts = found.explode(index_parts=False)
    assert [len(part.interiors) for part in parts.geometry] == [1, 0, 0, 0, 0]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_areas_of_a_geographic_crs_are_in_square_metres(tmp_path: Path, labels: np.ndarray) -> None:
    place = ImageMetadata(crs="EPSG:4326", transform=(1e-4, 0, 15, 0, -1e-4, 48))
    export_labels(labels, tmp_path / "a.gpkg", metadata=place)
    found = read(tmp_path / "a.gpkg")
    np.testing.assert_allclose(found["area_m2"], found.to_crs(32633).area, rtol=2e-3)


def test_simplified_polygons_stay_within_the_tolerance(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:200, :200]
    disc = ((rows - 100) ** 2 + (columns - 90) ** 2 <= 80**2).astype(np.uint8)
    for name, tolerance in (("exact", 0.0), ("simple", 1.5)):
        export_labels(disc, tmp_path / f"{name}.gpkg", metadata=SCENE, tolerance=tolerance)
    exact, simple = (read(tmp_path / f"{name}.gpkg").geometry[0] for name in ("exact", "simple"))
    assert len(simple.exterior.coords) < len(exact.exterior.coords) / 4
    assert exact.hausdorff_distance(simple) <= 1.5 * 0.5 + 1e-9


def test_geojson_in_pixels_for_qupath(tmp_path: Path, labels: np.ndarray) -> None:
    export_labels(labels, tmp_path / "a.geojson", metadata=MICROSCOPE, class_names={1: "vessel"})
    content = json.loads((tmp_path / "a.geojson").read_text())
    first = content["features"][0]
    assert first["properties"]["objectType"] == "annotation"
    assert first["properties"]["classification"] == {"name": "vessel"}
    assert first["properties"]["area_um2"] == pytest.approx(230 * 0.02)
    assert "crs" not in content
    found = read(tmp_path / "a.geojson")
    again = rasterize(zip(found.geometry, found["class"], strict=True), labels.shape)
    np.testing.assert_array_equal(again, labels)


def test_polygons_of_a_stack_know_their_frame(tmp_path: Path, stack: np.ndarray) -> None:
    export_labels(stack, tmp_path / "a.gpkg", axes="TYX", metadata=SCENE)
    assert pyogrio.list_layers(tmp_path / "a.gpkg")[:, 0].tolist() == ["objects"]
    found = read(tmp_path / "a.gpkg")
    assert found["t"].tolist() == [0] * 4 + [2] * 4
    assert found["object"].tolist() == list(range(1, 9))


def test_nothing_found_is_an_empty_layer(tmp_path: Path) -> None:
    for name in ("a.gpkg", "a.geojson", "a.json", "a.zip"):
        export_labels(np.zeros((20, 30), np.uint8), tmp_path / name, metadata=SCENE)
    assert len(read(tmp_path / "a.gpkg")) == len(read(tmp_path / "a.geojson")) == 0


def test_objects_keep_their_id_and_class(tmp_path: Path, stack: np.ndarray) -> None:
    table = pd.DataFrame({"index": [1, 2], "class": [7, 9], "confidence": [0.5, np.nan]})
    export_labels(stack, tmp_path / "a.gpkg", axes="TYX", table=table, confidence={0: 0.9})
    found = read(tmp_path / "a.gpkg").sort_values(["t", "object"])
    assert found["object"].tolist() == [1, 2, 1, 2]
    assert found["class"].tolist() == [7, 9, 7, 9]
    assert found["score"].tolist()[:3] == [0.5, 0.9, 0.5]
    with pytest.raises(InputError, match="lacks the column index or class"):
        export_labels(stack, tmp_path / "b.gpkg", axes="TYX", table=pd.DataFrame({"a": []}))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco(tmp_path: Path, stack: np.ndarray) -> None:
    export_labels(stack, tmp_path / "a.json", axes="ZYX", class_names={2: "island"},
                  confidence={2: 0.5})  # fmt: skip
    with redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "a.json"))
    assert [(image["file_name"], image["z"]) for image in coco.dataset["images"]] == [
        ("image_0.png", 0), ("image_1.png", 1), ("image_2.png", 2)
    ]  # fmt: skip
    assert {c["id"]: c["name"] for c in coco.dataset["categories"]} == {1: "class 1", 2: "island"}
    again = np.zeros_like(stack)
    for annotation in coco.dataset["annotations"]:
        mask = coco.annToMask(annotation)
        again[annotation["image_id"] - 1][mask == 1] = annotation["category_id"]
        assert annotation["area"] == mask.sum() == coco_mask.area(coco.annToRLE(annotation))
        assert annotation["bbox"] == coco_mask.toBbox(coco.annToRLE(annotation)).tolist()
    np.testing.assert_array_equal(again, stack)
    assert {a.get("score") for a in coco.dataset["annotations"]} == {None, 0.5}


def test_coco_of_a_folder_names_its_files(tmp_path: Path, stack: np.ndarray) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(np.zeros((40, 60), np.uint8)).save(tmp_path / f"images/{name}.png")
    export_labels(stack, tmp_path / "a.json", image=tmp_path / "images")
    content = json.loads((tmp_path / "a.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize("tolerance", [0, 0.5])
def test_rois(tmp_path: Path, stack: np.ndarray, tolerance: float) -> None:
    full = np.stack([stack, np.zeros_like(stack)])
    export_labels(full, tmp_path / "a.zip", axes="TZYX", class_names={2: "is/land"},
                  tolerance=tolerance)  # fmt: skip
    rois = roifile.roiread(tmp_path / "a.zip")
    assert len(rois) == 8
    assert {(roi.t_position, roi.z_position) for roi in rois} == {(1, 1), (1, 3)}
    assert (rois[0].name, rois[1].name) == ("00001_class 1_1", "00002_is-land_2")
    assert [roi.group for roi in rois[:4]] == [1, 2, 1, 2]
    again = np.zeros_like(full)
    for roi in rois:
        composite = roi.multi_coordinates is not None
        rings = roi.coordinates(multi=True) if composite else [roi.coordinates()]
        mask = np.zeros(full.shape[-2:], bool)
        for ring in rings:  # holes are rings within rings
            mask ^= polygon2mask(mask.shape, ring[:, ::-1] - 0.5)
        again[roi.t_position - 1, roi.z_position - 1][mask] = roi.group
    if tolerance == 0:
        np.testing.assert_array_equal(again, full)
    else:
        assert (again != full).sum() < 0.2 * (full > 0).sum()


def test_rois_of_a_plain_stack_have_a_position(tmp_path: Path, stack: np.ndarray) -> None:
    export_labels(stack, tmp_path / "a.zip", axes="TYX")
    rois = roifile.roiread(tmp_path / "a.zip")
    found = {(roi.position, roi.t_position, roi.z_position) for roi in rois}
    assert found == {(1, 1, 0), (3, 3, 0)}


def test_png_overlays(tmp_path: Path, stack: np.ndarray) -> None:
    image = np.full(stack.shape, 100, np.uint16)
    image[:, 0, 0] = 0
    export_labels(stack, tmp_path / "a.png", image=image, axes="ZYX")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a_0.png", "a_1.png", "a_2.png"]
    drawn = np.asarray(Image.open(tmp_path / "a_0.png"))
    assert drawn.shape == (40, 60, 3)
    assert drawn[5, 6].tolist() == [0, 190, 255]  # the contour of class 1
    assert len(set(drawn[0, 30].tolist())) == 1  # the gray image
    export_labels(stack[0], tmp_path / "b.png", image=np.zeros((40, 60, 3), np.uint8), axes="YXS")
    assert (tmp_path / "b.png").exists()
    with pytest.raises(InputError, match="give the image"):
        export_labels(stack, tmp_path / "c.png", axes="ZYX")


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_videos(tmp_path: Path, stack: np.ndarray, suffix: str) -> None:
    labels = stack[:, :39, :55]
    image = np.full((2, *labels.shape), 90, np.float32)
    image[:, :, 0, 0] = np.nan
    export_labels(labels, tmp_path / f"a{suffix}", image=image, axes="CZYX", frame_rate=5)
    video = iio.imread(tmp_path / f"a{suffix}")
    assert video.shape[0] == 3
    assert video.shape[-1] == 3
    size = (40, 56) if suffix == ".mp4" else (39, 55)
    assert video.shape[1:3] == size
    contour, inside = video[0, 5, 10].astype(int), video[0, 0, 40].astype(int)
    assert np.abs(contour - inside).max() > 60
    metadata = iio.immeta(tmp_path / f"a{suffix}")
    assert metadata.get("fps", 1000 / metadata.get("duration", 1000)) == pytest.approx(5)


def test_large_videos_are_reduced(tmp_path: Path) -> None:
    labels = np.zeros((3000, 16), np.uint8)
    labels[1000:2000] = 1
    export_labels(labels, tmp_path / "a.gif", image=np.zeros(labels.shape, np.uint8))
    assert iio.imread(tmp_path / "a.gif").shape[-3:] == (1920, 10, 3)


def test_tables_need_objects(tmp_path: Path, labels: np.ndarray) -> None:
    table = pd.DataFrame({"index": [1, 2], "class": [1, 2]})
    export_labels(labels, tmp_path / "a.csv", table=table)
    assert pd.read_csv(tmp_path / "a.csv")["index"].tolist() == [1, 2]
    with pytest.raises(InputError, match="find their objects first"):
        export_labels(labels, tmp_path / "b.csv")


def test_an_unknown_suffix_lists_the_formats(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"cannot be exported to a\.shp: use one of .*\.gpkg"):
        export_labels(labels, tmp_path / "a.shp")


@pytest.mark.parametrize("package", ["geopandas", "pycocotools"])
def test_missing_packages_are_named(
    tmp_path: Path, labels: np.ndarray, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_vrp_sam.io.optional.find_spec", lambda _: None)
    name, extra = {"geopandas": ("a.gpkg", "geo"), "pycocotools": ("a.json", "coco")}[package]
    with pytest.raises(InputError, match=rf"{package}.*napari-vrp-sam\[{extra}\]"):
        export_labels(labels, tmp_path / name)


@pytest.mark.parametrize("option", ["tolerance", "frame_rate", "max_size"])
def test_options_out_of_range_are_refused(option: str) -> None:
    with pytest.raises(InputError, match="give"):
        ExportOptions(**{option: -1})


def test_labels_of_another_image_are_refused(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(InputError, match="give the labels of this image"):
        export_labels(labels, tmp_path / "a.zip", image=np.zeros((40, 61)))
