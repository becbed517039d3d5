"""Drawings of QuPath, COCO, Labelme, ImageJ and Labkit, to the pixel."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
import roifile
from PIL import Image
from pycocotools import mask as coco_mask
from skimage import draw
from tests.io.references.conftest import STACK, only, references

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.references.run_lengths import decode_runs

RING = [[20, 10], [50, 10], [50, 25], [20, 25], [20, 10]]
HOLE = [[30, 15], [40, 15], [40, 20], [30, 20], [30, 15]]


def feature(geometry: dict[str, Any], name: str | None = None, **more: Any) -> dict[str, Any]:
    classified = {"classification": {"name": name, "color": [1, 2, 3]}} if name else {}
    return {
        "type": "Feature",
        "id": "1",
        "geometry": geometry,
        "properties": {"objectType": "annotation", **classified},
        **more,
    }


def write(path: Any, content: Any) -> Any:
    path.write_text(json.dumps(content))
    return path


def collection(*features: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def polygon(*rings: Any, **plane: int) -> dict[str, Any]:
    more = {"plane": {"c": -1, **plane}} if plane else {}
    return {"type": "Polygon", "coordinates": list(rings), **more}


class TestGeoJson:
    def test_polygons_cover_the_pixels_between_their_corners(self, tmp_path, box):
        path = write(tmp_path / "a.geojson", collection(feature(polygon(RING), "Tumor")))
        what, mask = only(path, reference_frame=2)
        assert what == (2, 1, "mask")
        np.testing.assert_array_equal(mask, box)

    def test_holes_and_multipolygons(self, tmp_path, box):
        far = [[60, 30], [70, 30], [70, 40], [60, 40], [60, 30]]
        several = {"type": "MultiPolygon", "coordinates": [[RING, HOLE], [far]]}
        _, mask = only(write(tmp_path / "a.json", feature(several)), reference_frame=0)
        box[15:20, 30:40] = False
        box[30:40, 60:70] = True
        np.testing.assert_array_equal(mask, box)

    def test_classes_and_planes(self, tmp_path):
        features = [
            feature(polygon(RING, z=1, t=0), "Tumor"),
            feature(polygon(HOLE, z=3, t=0), "Stroma"),
            feature(polygon(HOLE, z=1, t=0), "Ignore*"),
            feature(polygon(HOLE, z=1, t=0)),
        ]
        found = references(write(tmp_path / "a.geojson", features))  # a list, as older versions
        assert [what for what, _, _ in found] == [(1, 2, "mask"), (3, 1, "mask")]
        np.testing.assert_array_equal(found[0][2].ignored[15:20, 30:40], True)
        assert found[0][2].ignored.sum() == 50

    def test_points_and_lines(self, tmp_path):
        features = [
            feature({"type": "Point", "coordinates": [30.5, 12.5]}),
            feature({"type": "LineString", "coordinates": [[10.5, 40.5], [20.5, 40.5]]}),
        ]
        (_, mask, reference), *_ = references(
            write(tmp_path / "a.geojson", collection(*features)), reference_frame=0
        )
        assert reference.kind == "scribble"
        assert mask[12, 30]
        np.testing.assert_array_equal(np.flatnonzero(mask[40]), np.arange(10, 21))

    def test_collections_of_several_kinds(self, tmp_path, box):
        parts = [
            polygon(RING),
            {"type": "MultiPoint", "coordinates": [[60.5, 40.5], [62.5, 40.5]]},
            {"type": "MultiLineString", "coordinates": [[], [[10.5, 50.5], [20.5, 50.5]]]},
            {"type": "MultiPolygon", "coordinates": []},
        ]
        geometry = {"type": "GeometryCollection", "geometries": parts}
        ((_, mask, _),) = references(
            write(tmp_path / "a.geojson", feature(geometry)), reference_frame=0
        )
        assert mask[box].all()
        assert mask[40, 60]
        assert mask[40, 62]
        np.testing.assert_array_equal(np.flatnonzero(mask[50]), np.arange(10, 21))

    def test_the_frame_has_to_be_known(self, tmp_path):
        path = write(tmp_path / "a.geojson", collection(feature(polygon(RING))))
        with pytest.raises(InputError, match=r"do not say their frame.*reference_frame"):
            references(path)
        assert only(path, stack=STACK[0], axes="YX")[0] == (0, 1, "mask")
        planes = collection(feature(polygon(RING, z=9, t=0)))
        with pytest.raises(InputError, match=r"Z = 9, but the stack has 4 positions"):
            references(write(tmp_path / "b.geojson", planes))

    def test_shapes_outside_are_refused_only_if_all_are(self, tmp_path, caplog, box):
        far = polygon([[900, 900], [950, 900], [950, 950], [900, 900]])
        both = collection(feature(polygon(RING)), feature(far))
        _, mask = only(write(tmp_path / "a.geojson", both), reference_frame=0)
        np.testing.assert_array_equal(mask, box)
        assert "1 of 2 annotations lie outside the image" in caplog.text
        with pytest.raises(InputError, match="All annotations lie outside the image"):
            references(write(tmp_path / "b.geojson", collection(feature(far))), reference_frame=0)

    def test_numbers_of_objects_are_no_classes(self, tmp_path):
        shapes = [
            {**feature(polygon(RING)), "properties": {"label": number}} for number in range(1, 7)
        ]
        path = write(tmp_path / "a.geojson", collection(*shapes))
        assert only(path, reference_frame=0)[0] == (0, 1, "mask")
        found = references(path, reference_frame=0, class_column="label")
        assert [what[1] for what, _, _ in found] == [1, 2, 3, 4, 5, 6]
        with pytest.raises(InputError, match=r"no column kind of classes: the file has label"):
            references(path, reference_frame=0, class_column="kind")


def coco(images: list[dict[str, Any]], *annotations: dict[str, Any]) -> dict[str, Any]:
    categories = [{"id": 3, "name": "nucleus"}, {"id": 7, "name": "vessel"}]
    return {"images": images, "annotations": list(annotations), "categories": categories}


def entry(image_id: int, category: int = 3, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": image_id, "category_id": category, "iscrowd": 0, **more}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
class TestCoco:
    def test_polygons_run_lengths_and_boxes(self, tmp_path, box):
        image = {"id": 5, "file_name": "x.png", "width": 80, "height": 60}
        flat = [coordinate for point in RING[:4] for coordinate in point]
        encoded = coco_mask.encode(np.asfortranarray(box.astype(np.uint8)))
        compressed = {"size": encoded["size"], "counts": encoded["counts"].decode()}
        counts = [0, *np.diff(np.flatnonzero(np.diff(np.r_[0, box.T.ravel(), 0])))]
        start = int(np.flatnonzero(box.T.ravel())[0])
        runs = {"size": [60, 80], "counts": [start, *map(int, counts[1:])]}
        runs["counts"].append(4800 - sum(runs["counts"]))
        expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([flat], 60, 80)))
        for segmentation in ([flat], compressed, runs):
            content = coco([image], entry(5, segmentation=segmentation))
            what, mask = only(write(tmp_path / "a.json", content), reference_frame=1)
            assert what == (1, 3, "mask")
            np.testing.assert_array_equal(mask, box)
        np.testing.assert_array_equal(expected, box)  # as pycocotools draws polygons
        content = coco([image], entry(5, 7, bbox=[20, 10, 30, 15]))
        what, mask = only(write(tmp_path / "b.json", content), reference_frame=1)
        assert what == (1, 7, "box")
        np.testing.assert_array_equal(mask, box)

    def test_images_are_frames_by_name(self, tmp_path):
        folder = tmp_path / "frames"
        folder.mkdir()
        for index, frame in enumerate(STACK):
            Image.fromarray(frame).save(folder / f"f{index}.png")
        images = [{"id": n, "file_name": f"data/f{n}.png"} for n in (1, 3)]
        flat = [coordinate for point in RING for coordinate in point]
        content = coco(images, *(entry(n, segmentation=[flat]) for n in (1, 3)))
        path = write(tmp_path / "a.json", content)
        found = references(path, image=folder)
        assert [what for what, _, _ in found] == [(1, 3, "mask"), (3, 3, "mask")]
        with pytest.raises(InputError, match=r"annotates 2 images \(data/f1.png, data/f3.png\)"):
            references(path, reference_frame=0)

    def test_crowds_are_ignored(self, tmp_path, box):
        image = {"id": 5, "file_name": "x.png", "width": 80, "height": 60}
        flat = [coordinate for point in HOLE for coordinate in point]
        crowd = {**entry(5, segmentation=[flat]), "iscrowd": 1}
        box_entry = entry(5, segmentation=[[2, 2, 9, 2, 9, 9]])
        found = references(
            write(tmp_path / "a.json", coco([image], box_entry, crowd)), reference_frame=0
        )
        assert found[0][2].ignored[16, 31]


def test_labelme(tmp_path, box):
    picture = io.BytesIO()
    Image.fromarray(box[10:25, 20:50]).save(picture, "PNG")
    encoded = base64.b64encode(picture.getvalue()).decode()
    shapes = [
        {"label": "cell", "points": RING[:4], "shape_type": "polygon"},
        {"label": "cell", "points": [[20, 10], [49, 24]], "shape_type": "mask", "mask": encoded},
    ]
    for shape in shapes:
        content = {"version": "5", "imagePath": "a.png", "shapes": [shape]}
        what, mask = only(write(tmp_path / "a.json", content), reference_frame=0)
        assert what == (0, 1, "mask")
        np.testing.assert_array_equal(mask, box)
    rectangle = {"label": "cell", "points": [[50, 25], [20, 10]], "shape_type": "rectangle"}
    circle = {"label": "disc", "points": [[60.5, 40.5], [68.5, 40.5]], "shape_type": "circle"}
    content = {"imagePath": "a.png", "shapes": [rectangle, circle]}
    (first, second) = references(write(tmp_path / "b.json", content), reference_frame=0)
    assert first[0] == (0, 1, "box")
    np.testing.assert_array_equal(first[1], box)
    assert second[0] == (0, 2, "mask")
    distance = np.hypot(np.arange(60)[:, None] - 40, np.arange(80) - 60)
    np.testing.assert_array_equal(second[1], distance <= 8)


def test_labkit(tmp_path):
    strokes = {"foreground": [[20, 10, 1], [21, 10, 1]], "background": [[5, 6, 1], [5, 7, 3]]}
    content = {"interval": {"min": [0, 0, 0], "max": [79, 59, 3]}, "labels": strokes}
    found = references(write(tmp_path / "a.labeling", content))
    (what, mask, reference), (other, _, absent) = found
    assert what == (1, 1, "scribble")
    assert np.argwhere(mask).tolist() == [[10, 20], [10, 21]]
    assert np.argwhere(reference.negative).tolist() == [[6, 5]]
    assert (other[0], absent.empty) == (3, True)


def test_unknown_json(tmp_path):
    with pytest.raises(InputError, match=r"not a known kind of JSON: supported are COCO, GeoJSON"):
        references(write(tmp_path / "a.json", {"cells": []}))
    (tmp_path / "b.json").write_text("{ broken")
    with pytest.raises(InputError, match=r"b\.json cannot be read as JSON"):
        references(tmp_path / "b.json")


class TestImageJ:
    def roi(self, points: Any, **more: Any) -> roifile.ImagejRoi:
        roi = roifile.ImagejRoi.frompoints(np.asarray(points))
        for name, value in more.items():
            setattr(roi, name, value)
        return roi

    def test_polygons_on_planes(self, tmp_path, box):
        path = tmp_path / "RoiSet.zip"
        first = self.roi(RING[:4], position=2)
        second = self.roi(HOLE[:4], position=4, group=5)
        roifile.roiwrite(path, [first, second])
        found = references(path)
        assert [what for what, _, _ in found] == [(1, 1, "mask"), (3, 5, "mask")]
        np.testing.assert_array_equal(found[0][1], box)

    def test_positions_of_a_hyperstack(self, tmp_path):
        stack = np.broadcast_to(STACK, (3, *STACK.shape))
        roi = self.roi(RING[:4], t_position=2, z_position=4)
        roi.tofile(tmp_path / "a.roi")
        (frame, _, _), _ = only(tmp_path / "a.roi", stack=stack, axes="TZYX")
        assert frame == 1 * 4 + 3

    def test_rectangles_ovals_and_lines(self, tmp_path, box):
        kinds = roifile.ROI_TYPE
        for kind, expected in ((kinds.RECT, "box"), (kinds.OVAL, "mask")):
            roi = roifile.ImagejRoi()
            roi.roitype, roi.version = kind, 227
            roi.left, roi.top, roi.right, roi.bottom = 20, 10, 50, 25
            roi.tofile(tmp_path / f"{expected}.roi")
            what, mask = only(tmp_path / f"{expected}.roi", reference_frame=0)
            assert what == (0, 1, expected)
            if expected == "box":
                np.testing.assert_array_equal(mask, box)
            else:
                oval = np.zeros_like(box)
                oval[draw.ellipse(17, 34.5, 7.5 + 1e-6, 15 + 1e-6)] = True
                np.testing.assert_array_equal(mask, oval)
        line = self.roi([[10.5, 40.5], [20.5, 40.5]], roitype=kinds.POLYLINE, stroke_width=3)
        line.tofile(tmp_path / "line.roi")
        what, mask = only(tmp_path / "line.roi", reference_frame=0)
        assert what == (0, 1, "scribble")
        assert mask[39:42, 11:20].all()

    def test_points(self, tmp_path):
        roi = self.roi([[30, 12], [50, 40]], roitype=roifile.ROI_TYPE.POINT)
        roi.tofile(tmp_path / "a.roi")
        what, mask = only(tmp_path / "a.roi", reference_frame=0)
        assert what == (0, 1, "point")
        assert mask[12, 30]
        assert mask[40, 50]
        assert mask.sum() == 10


class TestDamagedRuns:
    """pycocotools writes beyond its memory for these, and ends the interpreter."""

    @pytest.mark.parametrize(
        ("size", "counts"),
        [
            ([60, 2**31], [10, 20, 1250]),
            ([60, 80], [10, 20]),
            ([60, 80], [5000, -200]),
            ([60, 80], "\x00\x01"),
            ([2**20, 2**20], [2**40]),
        ],
    )
    def test_they_are_refused(self, tmp_path, size, counts):
        entry = {"image_id": 1, "category_id": 3, "segmentation": {"size": size, "counts": counts}}
        content = coco([{"id": 1, "width": 80, "height": 60, "file_name": "a.png"}], entry)
        with pytest.raises(InputError):
            references(write(tmp_path / "a.json", content), reference_frame=0)

    @pytest.mark.parametrize("seed", range(5))
    def test_intact_ones_are_those_of_pycocotools(self, seed):
        rng = np.random.default_rng(seed)
        mask = np.asfortranarray(rng.random((23, 31)) < (0.5, 0.01, 0.99, 0, 1)[seed])
        runs = coco_mask.encode(mask.astype(np.uint8))
        np.testing.assert_array_equal(decode_runs(runs, (1, 1)), mask)
