"""Layers are restored from a session as they were saved."""

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
from napari_vrp_sam.io.sessions.values import from_json_value, to_json_value
from napari_vrp_sam.plugin.classes.annotation_layers import new_annotation_layer, set_drawing_class
from napari_vrp_sam.plugin.layers.metadata import METADATA_KEY, get_metadata, set_metadata
from napari_vrp_sam.plugin.layers.outputs.results import ResultLayer, is_result_layer
from napari_vrp_sam.plugin.layers.stacks import frames_of
from napari_vrp_sam.plugin.session.layers import (
    image_attributes,
    image_tuple,
    layer_tuple,
    restore_drawing_settings,
    result_tuple,
    stored_layer,
    stored_result,
)

LAYER_OPTIONS = {
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


def save_and_restore(layer, folder):
    """Return a copy of a layer that was written to and read from files."""
    name = write_layer(folder, 0, stored_layer(layer, ticked=True, kind="mask"))
    copy = Layer.create(*layer_tuple(read_layer(folder, name), "image"))
    restore_drawing_settings(copy)
    return copy


def assert_equal(copy, layer):
    assert copy.name == layer.name
    for name in ("scale", "translate", "rotate", "shear", "opacity"):
        np.testing.assert_array_equal(getattr(copy, name), getattr(layer, name))
    np.testing.assert_array_equal(copy.affine.affine_matrix, layer.affine.affine_matrix)
    assert (copy.units, copy.axis_labels) == (layer.units, layer.axis_labels)
    assert (copy.visible, str(copy.blending)) == (
        layer.visible,
        str(layer.blending),
    )
    names = {
        Points: ("size", "symbol", "shown", "face_color", "border_color", "border_width"),
        Shapes: ("shape_type", "z_index", "face_color", "edge_color", "edge_width"),
    }.get(type(layer), ())
    for name in names:
        np.testing.assert_array_equal(getattr(copy, name), getattr(layer, name))
    if names:
        pd.testing.assert_frame_equal(copy.features, layer.features)
        pd.testing.assert_frame_equal(copy.feature_defaults, layer.feature_defaults)
    assert len(copy.data) == len(layer.data)
    for one, other in zip(copy.data, layer.data, strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_points(data, tmp_path_factory):
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
        **LAYER_OPTIONS,
    )
    assert_equal(save_and_restore(layer, tmp_path_factory.mktemp("s")), layer)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_shapes(data, tmp_path_factory):
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
        **LAYER_OPTIONS,
    )
    assert_equal(save_and_restore(layer, tmp_path_factory.mktemp("s")), layer)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
@pytest.mark.parametrize(
    "colours",
    [
        None,
        DirectLabelColormap(color_dict={None: "gray", 0: "transparent", 2: "#123456"}),
        CyclicLabelColormap(colors=[[0, 0, 0, 0], [1, 0, 0, 1], [0, 0.5, 1, 1]], seed=0.25),
    ],
)
def test_labels(tmp_path, dtype, colours):
    data = np.zeros((4, 9, 11), dtype)
    data[2, 3:6, 4:8] = 2
    layer = Labels(data, name="drawn / here", colormap=colours, **LAYER_OPTIONS)
    copy = save_and_restore(layer, tmp_path)
    assert_equal(copy, layer)
    assert copy.data.dtype == layer.data.dtype
    labels = np.arange(20)
    np.testing.assert_array_equal(copy.colormap.map(labels), layer.colormap.map(labels))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 8000


@pytest.mark.parametrize("drawing", ["scribble", "mask", "point", "box"])
def test_drawing_settings_of_an_empty_layer(tmp_path, drawing):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 40, 60)), **LAYER_OPTIONS | {"visible": True})
    layer = new_annotation_layer(viewer, image, drawing)
    set_drawing_class(layer, 3)
    copy = save_and_restore(layer, tmp_path)
    assert_equal(copy, layer)
    assert get_metadata(copy, "drawing") == drawing
    if drawing in ("scribble", "mask"):
        assert (copy.selected_label, copy.brush_size) == (3, layer.brush_size)
        return
    for one in (layer, copy):
        if drawing == "point":
            one.add([1, 20, 20])
        else:
            one.add_rectangles(np.array([[1, 2, 2], [1, 2, 9], [1, 9, 9], [1, 9, 2]]))
    assert_equal(copy, layer)
    assert copy.features["class"].tolist() == [3]


def test_only_serializable_metadata_is_stored(tmp_path):
    layer = Labels(np.zeros((2, 9, 9), np.uint8))
    layer.metadata["other plugin"] = "not stored"
    set_metadata(layer, drawing="scribble", confidence={3: 0.5}, thread=object())
    copy = save_and_restore(layer, tmp_path)
    assert copy.metadata[METADATA_KEY].items() >= {
        "drawing": "scribble", "confidence": {3: 0.5}, "ticked": True, "annotation kind": "mask",
    }.items()  # fmt: skip
    assert not get_metadata(copy, "thread")


@pytest.mark.parametrize("axes", ["ZYX", "TCYX", "CZYX", "ZYXS"])
def test_result(axes):
    viewer = ViewerModel()
    shape = tuple({"T": 3, "Z": 3, "C": 2, "Y": 20, "X": 30, "S": 3}[axis] for axis in axes)
    image = viewer.add_image(np.zeros(shape, np.uint8), name="stack", rgb="S" in axes)
    result = ResultLayer(viewer, image, axes=axes, class_ids=(1, 2), metadata={"axes": axes})
    result.write([(1, np.full((20, 30), 2))], {1: 0.75})
    result.finish()
    before = result.layer
    stored = stored_result(before, frames_of(image, axes))
    assert stored.labels.shape == (3, 20, 30)
    attributes = from_json_value(json.loads(json.dumps(to_json_value(stored.attributes))))
    copy = Layer.create(
        *result_tuple(
            type(stored)(stored.labels, stored.axes, attributes), shape, axes, "image", {}
        )
    )
    np.testing.assert_array_equal(copy.data, before.data)
    assert is_result_layer(copy, "image")
    assert get_metadata(copy, "confidence") == {1: 0.75}
    copy.data[(1,) * (copy.ndim - 2)] = 1  # is writable


def test_image(tmp_path):
    viewer = ViewerModel()
    data = np.random.default_rng(0).random((3, 20, 30))
    image = viewer.add_image(
        data,
        name="stack",
        colormap="magma",
        contrast_limits=(0.25, 0.5),
        gamma=0.8,
        **LAYER_OPTIONS,
    )
    attributes = from_json_value(json.loads(json.dumps(to_json_value(image_attributes(image)))))
    copy = Layer.create(*image_tuple(data, attributes, {"session": "here"}))
    assert_equal(copy, image)
    assert (copy.colormap.name, copy.contrast_limits, copy.gamma) == (
        "magma",
        [0.25, 0.5],
        0.8,
    )
    assert get_metadata(copy, "session") == "here"
    image.colormap = {"colors": [[0, 0, 0, 1], [0.5, 0.25, 1, 1]], "name": "custom"}
    attributes = from_json_value(json.loads(json.dumps(to_json_value(image_attributes(image)))))
    copy = Layer.create(*image_tuple(data, attributes, {}))
    np.testing.assert_array_equal(copy.colormap.colors, image.colormap.colors)


def test_stored_layers_are_copies():
    layer = Points(np.zeros((2, 3)))
    stored = stored_layer(layer, ticked=True, kind="mask")
    layer.data = np.ones((2, 3))
    assert isinstance(stored, StoredLayer)
    assert not np.any(stored.data)
