"""Kinds in the list of annotations."""

import numpy as np

from napari_vrp_sam.plugin.classes.annotation_layers import new_annotation_layer

CORNERS = [[3, 5, 5], [3, 5, 20], [3, 20, 20], [3, 20, 5]]
TRIANGLE = [[3, 25, 25], [3, 25, 40], [3, 40, 40]]


def kind_text(annotation_list, row=0):
    box = annotation_list.kind_box(row)
    return annotation_list.topLevelItem(row).text(2) if box is None else box.currentText()


def test_the_kind_of_boxes_cannot_be_changed(qtbot, viewer, dock, stack):
    image = viewer.add_image(stack[0], name="stack")
    layer = new_annotation_layer(viewer, image, "box")
    rows = dock.form.annotation_list
    assert rows.kind_box(0) is None
    assert kind_text(rows) == "box"
    layer.add_rectangles([np.array(CORNERS)])
    assert kind_text(rows) == "box"

    layer.add_polygons([np.array(TRIANGLE)])
    qtbot.waitUntil(lambda: rows.kind_box(0) is not None)
    assert kind_text(rows) == "mask"
    rows.set_kind(layer, "partial")
    layer.selected_data = {1}
    layer.remove_selected()
    qtbot.waitUntil(lambda: rows.kind_box(0) is None)
    assert kind_text(rows) == "box"
    assert [row.ticked for row in rows.rows] == [True]


def test_other_shapes_keep_their_choice(viewer, dock, stack):
    viewer.add_image(stack[0], name="stack")
    viewer.add_shapes([np.array(TRIANGLE)], shape_type="polygon", name="shapes")
    assert kind_text(dock.form.annotation_list) == "mask"
    viewer.add_shapes([np.array(CORNERS)], shape_type="rectangle", name="boxes")
    assert kind_text(dock.form.annotation_list) == "box"
