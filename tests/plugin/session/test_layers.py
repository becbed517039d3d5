"""Layers out of a session are those that were saved."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Labels, Layer, Points, Shapes
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap

from napari_vrp_sam.io.sessions.layers import StoredLayer, read_layer, write_layer
from napari_vrp_sam.io.sessions.values import plain, restored
from napari_vrp_sam.plugin.classes.annotation_layers import new_annotation_layer, set_drawing_class
from napari_vrp_sam.plugin.layers.metadata import KEY, note, noted
from napari_vrp_sam.plugin.layers.results import Result, is_result
from napari_vrp_sam.plugin.layers.stacks import frames_of
from napari_vrp_sam.plugin.session.layers import (
    image_attributes,
    image_tuple,
    layer_tuple,
    result_tuple,
    stored_layer,
    stored_result,
    take_up_pen,
)

PLACE = {
    "scale": (2, 0.5, 0.25),
    "translate": (1, -2, 3),
    "rotate": 30,
    "shear": (0.1, 0, 0),
    "affine": np.array([[1, 0, 0, 4], [0, 0.9, 0.1, 5], [0, -0.1, 0.9, 6], [0, 0, 0, 1.0]]),
    "units": ("um", "nm", "nm"),
    "axis_labels": ("z", "y", "x"),
    "opacity": 0.4,
    "visible": False,
}
COORDINATES = st.floats(-100, 100)
FEATURES = st.sampled_from([int, float, str, bool])


def reopened(layer, folder):
    """The layer after a way through files."""
    name = write_layer(folder, 0, stored_layer(layer, ticked=True, sparse=False))
    again = Layer.create(*layer_tuple(read_layer(folder, name)))
    take_up_pen(again)
    return again


def assert_alike(again, layer):
    assert again.name == layer.name
    for name in ("scale", "translate", "rotate", "shear", "opacity"):
        np.testing.assert_array_equal(getattr(again, name), getattr(layer, name))
    np.testing.assert_array_equal(again.affine.affine_matrix, layer.affine.affine_matrix)
    assert (again.units, again.axis_labels) == (layer.units, layer.axis_labels)
    assert (again.visible, str(again.blending)) == (layer.visible, str(layer.blending))
    names = {
        Points: ("size", "symbol", "shown", "face_color", "border_color", "border_width"),
        Shapes: ("shape_type", "z_index", "face_color", "edge_color", "edge_width"),
    }.get(type(layer), ())
    for name in names:
        np.testing.assert_array_equal(getattr(again, name), getattr(layer, name))
    if names:
        pd.testing.assert_frame_equal(again.features, layer.features)
        pd.testing.assert_frame_equal(again.feature_defaults, layer.feature_defaults)
    assert len(again.data) == len(layer.data)
    for one, other in zip(again.data, layer.data, strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_points_come_back(data, tmp_path_factory):
    count = data.draw(st.integers(1, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    points = data.draw(st.lists(st.tuples(*[COORDINATES] * 3), min_size=count, max_size=count))
    layer = Points(
        points,
        name=data.draw(st.text()) or "points",
        features={
            "class": rng.integers(1, 9, count),
            "note": data.draw(st.lists(st.text(), min_size=count, max_size=count)),
            "area": rng.choice([0.5, np.nan], count),
        },
        face_color=rng.random((count, 4)),
        border_color=rng.random((count, 4)),
        size=rng.uniform(1, 20, count),
        symbol=rng.choice(["disc", "star", "cross"], count),
        shown=rng.random(count) > 0.5,
        **PLACE,
    )
    assert_alike(reopened(layer, tmp_path_factory.mktemp("s")), layer)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_shapes_come_back(data, tmp_path_factory):
    kinds = data.draw(
        st.lists(st.sampled_from(["rectangle", "ellipse", "polygon", "path", "line"]), min_size=1)
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    corners = np.array([[0, 0, 0], [0, 0, 9], [0, 7, 9], [0, 7, 0]], float)
    shapes = [
        corners[: 2 if kind == "line" else 4] + rng.integers(0, 50, 3) + rng.random()
        for kind in kinds
    ]
    layer = Shapes(
        shapes,
        shape_type=kinds,
        features={"class": rng.integers(1, 9, len(kinds))},
        edge_color=rng.random((len(kinds), 4)),
        face_color=rng.random((len(kinds), 4)),
        edge_width=rng.uniform(0.5, 9, len(kinds)).tolist(),
        z_index=rng.integers(0, 3, len(kinds)).tolist(),
        **PLACE,
    )
    assert_alike(reopened(layer, tmp_path_factory.mktemp("s")), layer)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
@pytest.mark.parametrize(
    "colours",
    [
        None,
        DirectLabelColormap(color_dict={None: "gray", 0: "transparent", 2: "#123456"}),
        CyclicLabelColormap(colors=[[0, 0, 0, 0], [1, 0, 0, 1], [0, 0.5, 1, 1]], seed=0.25),
    ],
)
def test_labels_come_back(tmp_path, dtype, colours):
    data = np.zeros((4, 9, 11), dtype)
    data[2, 3:6, 4:8] = 2
    layer = Labels(data, name="drawn / here", colormap=colours, **PLACE)
    again = reopened(layer, tmp_path)
    assert_alike(again, layer)
    assert again.data.dtype == layer.data.dtype
    labels = np.arange(20)
    np.testing.assert_array_equal(again.colormap.map(labels), layer.colormap.map(labels))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 8000


@pytest.mark.parametrize("drawing", ["scribble", "mask", "point", "box"])
def test_an_empty_layer_is_ready_to_draw_as_it_was(tmp_path, drawing):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 40, 60)), **PLACE | {"visible": True})
    layer = new_annotation_layer(viewer, image, drawing)
    set_drawing_class(layer, 3)
    again = reopened(layer, tmp_path)
    assert_alike(again, layer)
    assert noted(again, "drawing") == drawing
    if drawing in ("scribble", "mask"):
        assert (again.selected_label, again.brush_size) == (3, layer.brush_size)
        return
    for one in (layer, again):
        if drawing == "point":
            one.add([1, 20, 20])
        else:
            one.add_rectangles(np.array([[1, 2, 2], [1, 2, 9], [1, 9, 9], [1, 9, 2]]))
    assert_alike(again, layer)
    assert again.features["class"].tolist() == [3]


def test_notes_come_back_as_far_as_they_can(tmp_path):
    layer = Labels(np.zeros((2, 9, 9), np.uint8))
    layer.metadata["mine"] = "stays mine"
    note(layer, drawing="scribble", confidence={3: 0.5}, thread=object())
    again = reopened(layer, tmp_path)
    assert again.metadata[KEY].items() >= {
        "drawing": "scribble", "confidence": {3: 0.5}, "ticked": True, "sparse": False,
    }.items()  # fmt: skip
    assert not noted(again, "thread")


@pytest.mark.parametrize("axes", ["ZYX", "TCYX", "CZYX", "ZYXS"])
def test_a_result_comes_back_on_its_image(axes):
    viewer = ViewerModel()
    shape = tuple({"T": 3, "Z": 3, "C": 2, "Y": 20, "X": 30, "S": 3}[axis] for axis in axes)
    image = viewer.add_image(np.zeros(shape, np.uint8), name="stack", rgb="S" in axes)
    result = Result(viewer, image, axes=axes, highest_class=2, facts={"axes": axes})
    result.write([(1, np.full((20, 30), 2))], {1: 0.75})
    result.finish()
    before = result.layer
    stored = stored_result(before, frames_of(image, axes))
    assert stored.labels.shape == (3, 20, 30)
    attributes = restored(json.loads(json.dumps(plain(stored.attributes))))
    again = Layer.create(
        *result_tuple(type(stored)(stored.labels, stored.axes, attributes), shape, axes, "image")
    )
    np.testing.assert_array_equal(again.data, before.data)
    assert is_result(again, "image")
    assert noted(again, "confidence") == {1: 0.75}
    again.data[(1,) * (again.ndim - 2)] = 1  # to be corrected


def test_an_image_comes_back(tmp_path):
    viewer = ViewerModel()
    data = np.random.default_rng(0).random((3, 20, 30))
    image = viewer.add_image(
        data, name="stack", colormap="magma", contrast_limits=(0.25, 0.5), gamma=0.8, **PLACE
    )
    attributes = restored(json.loads(json.dumps(plain(image_attributes(image)))))
    again = Layer.create(*image_tuple(data, attributes, {"session": "here"}))
    assert_alike(again, image)
    assert (again.colormap.name, again.contrast_limits, again.gamma) == ("magma", [0.25, 0.5], 0.8)
    assert noted(again, "session") == "here"
    image.colormap = {"colors": [[0, 0, 0, 1], [0.5, 0.25, 1, 1]], "name": "my own"}
    attributes = restored(json.loads(json.dumps(plain(image_attributes(image)))))
    again = Layer.create(*image_tuple(data, attributes, {}))
    np.testing.assert_array_equal(again.colormap.colors, image.colormap.colors)


def test_layers_are_copied_at_once():
    layer = Points(np.zeros((2, 3)))
    stored = stored_layer(layer, ticked=True, sparse=False)
    layer.data = np.ones((2, 3))
    assert isinstance(stored, StoredLayer)
    assert not np.any(stored.data)
