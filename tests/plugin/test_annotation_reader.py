"""Annotation files of other programs, opened in napari."""

from __future__ import annotations

import json

import geopandas
import numpy as np
import rasterio
import roifile
import shapely

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.references.drawn import read_reference
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.plugin.annotation_reader import annotation_layers, annotation_reader

RING = [[20, 10], [50, 10], [50, 25], [20, 25], [20, 10]]
HOLE = [[30, 15], [40, 15], [40, 20], [30, 20], [30, 15]]
STACK = np.random.default_rng(0).integers(0, 255, (4, 60, 80), dtype=np.uint8)


def qupath(path, *features):
    rows = [
        {
            "type": "Feature",
            "geometry": geometry,
            "properties": {"objectType": "annotation", "classification": {"name": name}},
        }
        for geometry, name in features
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": rows}))
    return path


def polygon(*rings, z):
    return {"type": "Polygon", "coordinates": list(rings), "plane": {"z": z, "t": 0}}


def on_frame_1(path):
    point = {"type": "Point", "coordinates": [60.5, 40.5], "plane": {"z": 1, "t": 0}}
    return qupath(
        path,
        (polygon(RING, HOLE, z=1), "Tumor"),
        (polygon(HOLE, z=3), "Stroma"),
        (point, "background"),
    )


def test_the_panel_learns_the_same_as_the_command_line(viewer, dock, tmp_path):
    path = on_frame_1(tmp_path / "a.geojson")
    viewer.add_image(STACK, scale=(2, 0.5, 0.5), name="stack")
    dock.preview_box.setChecked(False)

    viewer.open(path, plugin="napari-vrp-sam")

    assert [layer.name for layer in viewer.layers] == ["stack", "a", "a [1]"]
    drawn = dock.form.references({})
    frames = Frames(STACK, "ZYX")
    read = gather_references(frames, read_reference(path, frames))
    assert [(r.frame, r.class_id) for r in drawn] == [(1, 1), (1, 2), (3, 1)]
    assert {(r.frame, r.class_id) for r in read} == {(1, 1), (1, 2), (3, 1)}
    for one in read:
        (other,) = [r for r in drawn if (r.frame, r.class_id) == (one.frame, one.class_id)]
        np.testing.assert_array_equal(other.mask, one.mask)
        np.testing.assert_array_equal(other.negative, one.negative)


def test_drawings_without_a_frame_are_on_the_frame_in_view(viewer, tmp_path):
    image = viewer.add_image(STACK)
    viewer.dims.set_point(0, 2)
    roi = roifile.ImagejRoi.frompoints(np.array(RING[:4]))
    roi.tofile(tmp_path / "a.roi")
    ((data, options, kind),) = annotation_layers(tmp_path / "a.roi", image, viewer)
    assert kind == "shapes"
    np.testing.assert_array_equal(data[0][:, 0], 2)
    np.testing.assert_array_equal(data[0][:, 1:], np.array(RING[:4])[:, ::-1] - 0.5)
    assert options["features"] == {"class": [1]}


def test_masks_of_cellpose_are_one_class(viewer, dock, tmp_path):
    dock.preview_box.setChecked(False)
    masks = np.zeros((60, 80), np.uint16)
    for number in range(6):
        row, column = 8 + 30 * (number // 3), 8 + 25 * (number % 3)
        masks[row : row + 9, column : column + 9] = number + 1
    np.save(tmp_path / "x_seg.npy", {"masks": masks}, allow_pickle=True)
    viewer.add_image(STACK)
    viewer.open(tmp_path / "x_seg.npy", plugin="napari-vrp-sam")
    (reference,) = dock.form.references({})
    assert (reference.class_id, reference.frame) == (1, viewer.dims.current_step[0])
    np.testing.assert_array_equal(reference.mask, masks > 0)


def test_polygons_of_a_gis_lie_on_the_scene(viewer, tmp_path):
    transform = rasterio.Affine(10, 0, 500_000, 0, -10, 5_400_000)
    profile = {"width": 80, "height": 60, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(tmp_path / "scene.tif", "w", transform=transform, **profile) as scene:
        scene.write(STACK[0], 1)
    ring = shapely.Polygon([transform * tuple(point) for point in RING])
    geopandas.GeoDataFrame({"class": [3]}, geometry=[ring], crs=32633).to_file(tmp_path / "a.gpkg")
    (image,) = viewer.open(tmp_path / "scene.tif", plugin="napari")
    ((data, options, _),) = annotation_layers(tmp_path / "a.gpkg", image, viewer)
    np.testing.assert_allclose(data[0], np.array(RING)[:, ::-1] - 0.5, atol=1e-6)
    assert options["features"] == {"class": [3]}


def test_files_that_cannot_be_read_say_why(viewer, tmp_path, capsys):
    path = on_frame_1(tmp_path / "a.geojson")
    read = annotation_reader(str(path))
    assert read is not None
    assert read(str(path)) == [(None,)]
    viewer.add_image(STACK[:2])
    assert read(str(path)) == [(None,)]
    messages = capsys.readouterr().out
    assert "a.geojson annotates an image: open the image first." in messages
    assert "An annotation is at Z = 3, but the stack has 2 positions" in messages


def test_other_files_are_left_to_other_readers(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    assert annotation_reader(str(tmp_path / "a.zip")) is None
    assert annotation_reader(str(tmp_path)) is None
    assert annotation_reader([str(tmp_path / "a.zip")]) is None


def test_images_with_channels(viewer, tmp_path):
    image = viewer.add_image(np.stack([STACK] * 2, axis=1), axis_labels=("z", "c", "y", "x"))
    path = qupath(tmp_path / "a.geojson", (polygon(RING, z=1), "Tumor"))
    ((data, _, _),) = annotation_layers(path, image, viewer)
    np.testing.assert_array_equal(data[0][:, :2], [[1, 0]] * 5)
