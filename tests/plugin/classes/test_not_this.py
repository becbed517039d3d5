"""Strokes of "Not this", which mark pixels that belong to no class."""

import numpy as np
import pytest
from tests.plugin.classes.shown import numbers, shown_colour

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.classes.annotation_layers import (
    drawing_class,
    new_annotation_layer,
    set_drawing_class,
)
from napari_vrp_sam.plugin.layers.appearance.palette import default_colour
from napari_vrp_sam.plugin.layers.metadata import (
    BACKGROUND_LABEL,
    NOT_THIS,
    background_label,
    set_metadata,
)
from napari_vrp_sam.plugin.layers.outputs.results import RESULT_OF


def test_not_this_is_drawn_with_every_tool(viewer, dock, class_list, stack):
    viewer.add_image(stack[0])
    for kind in ("scribble", "mask", "point", "box"):
        layer = new_annotation_layer(viewer, viewer.layers[0], kind)
        class_list.not_this_button.click()
        assert class_list.classes.current == NOT_THIS
        assert class_list.not_this_button.isChecked()
        assert not class_list.row(1).number_button.isChecked()
        if kind in ("scribble", "mask"):
            layer.paint((1, 3, 5), layer.selected_label)
            assert layer.data[1, 3, 5] == BACKGROUND_LABEL
        elif kind == "point":
            layer.add((1, 3, 5))
        else:
            layer.add_rectangles(np.array([(1, 3, 5), (1, 3, 20), (1, 9, 20), (1, 9, 5)], float))
        if kind in ("point", "box"):
            assert list(layer.features["class"]) == [BACKGROUND_LABEL]
        assert shown_colour(layer, BACKGROUND_LABEL) == default_colour(NOT_THIS)
        assert numbers(class_list) == [1]  # it is no class
        class_list.classes.choose(1)
        assert not class_list.not_this_button.isChecked()
        assert drawing_class(layer) == 1


def test_not_this_erases_in_a_result(viewer, dock, class_list, stack):
    viewer.add_image(stack[0])
    layer = viewer.add_labels(np.ones(stack[0].shape, np.uint8))
    set_metadata(layer, **{RESULT_OF: viewer.layers[0].unique_id})
    set_drawing_class(layer, NOT_THIS)
    assert layer.selected_label == 0
    assert background_label(layer) is None


def test_not_this_is_refused_in_a_layer_with_a_class_of_its_value(viewer, dock, class_list, stack):
    data = np.zeros(stack[0].shape, np.uint8)
    data[0, :5] = BACKGROUND_LABEL
    layer = viewer.add_labels(data)
    with pytest.raises(InputError, match="draw it in another layer"):
        set_drawing_class(layer, NOT_THIS)
    assert background_label(layer) is None


def test_key_0_chooses_not_this(qtbot, viewer, dock, class_list, annotated, press_key):
    viewer.layers.selection.active = annotated[1]
    press_key("0")
    qtbot.waitUntil(lambda: class_list.classes.current == NOT_THIS)
    press_key("1")
    qtbot.waitUntil(lambda: class_list.classes.current == 1)
