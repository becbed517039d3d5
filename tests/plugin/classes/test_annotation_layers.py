import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Points, Shapes
from napari.utils.colormaps.standardize_color import transform_color

from napari_vrp_sam.plugin.classes.annotation_layers import (
    annotate_with_boxes,
    annotate_with_masks,
    annotate_with_points,
    annotate_with_scribbles,
    drawing_class,
    new_annotation_layer,
    set_drawing_class,
)
from napari_vrp_sam.plugin.layers.annotations import Annotation, references_from_layers
from napari_vrp_sam.plugin.layers.appearance.palette import default_colour


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.mark.parametrize(
    ("annotate", "kind", "mode"),
    [
        (annotate_with_scribbles, Labels, "paint"),
        (annotate_with_masks, Labels, "paint"),
        (annotate_with_points, Points, "add"),
        (annotate_with_boxes, Shapes, "add_rectangle"),
    ],
)
def test_new_layer_is_aligned_and_ready_to_draw(viewer, annotate, kind, mode):
    image = viewer.add_image(
        np.zeros((4, 60, 60, 3), dtype=np.uint8), rgb=True, scale=(2, 0.5, 0.5), units="um"
    )

    annotate(viewer)

    layer = viewer.layers.selection.active
    assert isinstance(layer, kind)
    assert layer.mode == mode
    assert layer.ndim == image.ndim
    np.testing.assert_allclose(layer.scale, image.scale)
    assert layer.units == image.units


def test_active_image_is_annotated(viewer):
    first = viewer.add_image(np.zeros((4, 60, 60)), scale=(5, 1, 1))
    viewer.add_image(np.zeros((4, 60, 60)))
    viewer.layers.selection.active = first

    annotate_with_points(viewer)

    np.testing.assert_allclose(viewer.layers[-1].scale, first.scale)


@pytest.mark.parametrize(
    "annotate", [annotate_with_scribbles, annotate_with_masks, annotate_with_points]
)
def test_a_tool_returns_to_its_layer(viewer, annotate):
    viewer.add_image(np.zeros((4, 60, 60)), name="first")
    annotate(viewer)
    layer = viewer.layers.selection.active
    layer.mode, layer.visible = "pan_zoom", False
    annotate_with_boxes(viewer)
    annotate(viewer)
    assert viewer.layers.selection.active is layer
    assert layer.visible
    assert layer.mode in {"paint", "add"}
    assert len(viewer.layers) == 3

    viewer.add_image(np.zeros((4, 60, 60)), name="second")
    annotate(viewer)
    assert viewer.layers.selection.active is not layer
    assert len(viewer.layers) == 5


def test_warning_without_an_image(viewer):
    from napari.utils.notifications import notification_manager

    annotate_with_points(viewer)

    assert "Open an image first" in notification_manager.records[-1].message
    assert not viewer.layers


@pytest.mark.parametrize("drawing", ["point", "box"])
def test_drawings_have_the_current_class(viewer, drawing):
    image = viewer.add_image(np.zeros((4, 60, 60)))
    layer = new_annotation_layer(viewer, image, drawing)

    def draw(row):
        if drawing == "point":
            layer.add([1, row, row])
        else:
            corners = [(row, 0), (row, 5), (row + 5, 5), (row + 5, 0)]
            layer.add_rectangles(np.insert(np.array(corners, dtype=float), 0, 1, axis=1))

    draw(10)
    set_drawing_class(layer, 3)
    draw(20)
    draw(30)

    assert drawing_class(layer) == 3
    assert layer.features["class"].tolist() == [1, 3, 3]
    colours = layer.face_color if drawing == "point" else layer.edge_color
    expected = transform_color([default_colour(c) for c in (1, 3, 3)])
    np.testing.assert_allclose(colours, expected, atol=0.01)
    found = references_from_layers(image, [Annotation(layer)], viewer.dims)
    assert [reference.class_id for reference in found] == [1, 3]


def test_class_feature_is_added_without_losing_other_features(viewer):
    points = viewer.add_points([[0, 1, 1], [0, 2, 2]], features={"note": ["a", "b"]})

    set_drawing_class(points, 2)
    points.add([0, 3, 3])

    assert points.features["class"].tolist() == [1, 1, 2]
    assert points.features["note"].tolist()[:2] == ["a", "b"]
