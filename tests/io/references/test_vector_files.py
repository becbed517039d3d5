"""GeoPackage, shapefile and GeoJSON of a GIS, in the pixels of a scene."""

from __future__ import annotations

import json
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from pyproj import CRS
from tests.io.references.conftest import only, references

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.metadata import ImageMetadata

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pyogrio.*")

UTM = CRS.from_epsg(32633)
SCENE = ImageMetadata(crs=UTM.to_wkt(), transform=(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_400_000.0))
SHEARED = ImageMetadata(crs=UTM.to_wkt(), transform=(8.0, 3.0, 500_000.0, 2.0, -9.0, 5_400_000.0))
FRAME = {"stack": np.zeros((60, 80), np.uint8), "axes": "YX"}


def on_map(points: Any, scene: ImageMetadata = SCENE) -> Any:
    """Coordinates in the CRS of (column, row) from the corner of the image."""
    assert scene.transform is not None
    a, b, c, d, e, f = scene.transform
    return [(a * x + b * y + c, d * x + e * y + f) for x, y in points]


RING = [(20, 10), (50, 10), (50, 25), (20, 25)]
HOLE = [(30, 15), (40, 15), (40, 20), (30, 20)]


def table(scene: ImageMetadata = SCENE, **columns: Any) -> Any:
    shapes = [shapely.Polygon(on_map(RING, scene), [on_map(HOLE, scene)])]
    return geopandas.GeoDataFrame(columns, geometry=shapes, crs=scene.crs)


@pytest.mark.parametrize("scene", [SCENE, SHEARED])
@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.fgb", "a.geojson"])
def test_polygons_in_the_crs_of_the_scene(tmp_path, box, name, scene):
    table(scene).to_file(tmp_path / name)
    what, mask = only(tmp_path / name, metadata=scene, **FRAME)
    assert what == (0, 1, "mask")
    box[15:20, 30:40] = False
    np.testing.assert_array_equal(mask, box)


@pytest.mark.parametrize("epsg", [4326, 3857, 32632])
def test_other_crs_are_transformed(tmp_path, box, epsg):
    table().to_crs(epsg).to_file(tmp_path / "a.gpkg")
    _, mask = only(tmp_path / "a.gpkg", metadata=SCENE, **FRAME)
    box[15:20, 30:40] = False
    np.testing.assert_array_equal(mask, box)  # corners move by less than half a pixel


@pytest.mark.parametrize("crs", [None, "no key"])
def test_geojson_whose_coordinates_are_no_degrees(tmp_path, box, crs):
    """Without a CRS, GeoJSON counts as degrees; many programs write any coordinates."""
    content = json.loads(table().to_json())
    content.pop("crs", None)
    (tmp_path / "a.geojson").write_text(json.dumps(content if crs else {**content, "crs": None}))
    _, mask = only(tmp_path / "a.geojson", metadata=SCENE, **FRAME)
    box[15:20, 30:40] = False
    np.testing.assert_array_equal(mask, box)


def test_classes_points_and_lines(tmp_path):
    shapes = [
        shapely.Polygon(on_map(RING)),
        shapely.Point(*on_map([(60.5, 40.5)])),
        shapely.LineString(on_map([(10.5, 50.5), (20.5, 50.5)])),
        shapely.MultiPoint(on_map([(70.5, 5.5), (72.5, 5.5)])),
    ]
    rows = {"class": ["wood", "water", "water", "background"], "crown": [1, 2, 3, 4]}
    path = tmp_path / "a.gpkg"
    geopandas.GeoDataFrame(rows, geometry=shapes, crs=SCENE.crs).to_file(path)
    (water, water_mask, _), (wood, _, reference) = references(path, metadata=SCENE, **FRAME)
    assert (water[1:], wood[1:]) == ((1, "scribble"), (2, "mask"))
    assert water_mask[40, 60]
    assert water_mask[50, 10:21].all()
    assert reference.negative[5, 70]
    assert reference.negative[5, 72]
    found = references(path, metadata=SCENE, class_column="crown", **FRAME)
    assert [what[1] for what, _, _ in found] == [1, 2, 3, 4]


def test_without_a_place_on_the_map(tmp_path):
    table().to_file(tmp_path / "a.gpkg")
    with pytest.raises(InputError, match="the image has no place on a map: give a GeoTIFF"):
        references(tmp_path / "a.gpkg", **FRAME)
    moved = table()
    moved.geometry = moved.translate(1e5, 0)
    moved.to_file(tmp_path / "b.gpkg")
    with pytest.raises(InputError, match="All annotations lie outside the image"):
        references(tmp_path / "b.gpkg", metadata=SCENE, **FRAME)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    table().to_file(tmp_path / "a.gpkg")
    monkeypatch.setattr("napari_vrp_sam.io.optional.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"geopandas: python -m pip install 'napari-vrp-sam\[geo]"):
        references(tmp_path / "a.gpkg", metadata=SCENE, **FRAME)


def test_pixels_of_qupath_in_a_scene(tmp_path, box):
    text = (
        '{"type": "Feature", "properties": {"objectType": "annotation"}, "geometry": {"type": '
        '"Polygon", "coordinates": [[[20, 10], [50, 10], [50, 25], [20, 25], [20, 10]]]}}'
    )
    (tmp_path / "a.geojson").write_text(text)
    _, mask = only(tmp_path / "a.geojson", metadata=SCENE, **FRAME)
    np.testing.assert_array_equal(mask, box)


def test_first_layer_with_shapes_is_read_and_the_others_are_reported(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    import pandas as pd
    import pyogrio

    path = tmp_path / "a.gpkg"
    pyogrio.write_dataframe(pd.DataFrame({"style": ["red"]}), path, layer="layer_styles")
    table().to_file(path, layer="lakes")
    table().to_file(path, layer="woods")
    caplog.set_level("INFO", logger="napari_vrp_sam")
    assert only(path, metadata=SCENE, **FRAME)[1].sum() == 400
    assert "Only the first of the layers lakes, woods is read" in caplog.text
