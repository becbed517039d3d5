"""Status if the frame in view cannot be drawn on, and after undo and redo."""

import numpy as np
import pytest
from tests.plugin.window import press, results, run

from napari_vrp_sam.plugin.classes.annotation_layers import new_annotation_layer


@pytest.mark.parametrize("annotate", [False, True])
def test_view_without_a_frame_of_the_image(viewer, dock, stack, annotate):
    viewer.add_image(stack[0], name="stack")
    viewer.add_image(np.zeros((20, 48, 64), np.uint8), name="longer")
    if annotate:
        viewer.add_labels(stack[1], name="drawn")
    dock.form.image_box.choose(viewer.layers["stack"])
    viewer.dims.set_current_step(0, 3)
    before = dock.status.text()
    assert before.startswith("Ready" if annotate else "No annotation yet")

    viewer.dims.set_current_step(0, 15)
    assert dock.status.text() == (
        "No frame of 'stack' is in view: move the sliders to one of its frames."
    )
    viewer.dims.set_current_step(0, 3)
    assert dock.status.text() == before
    viewer.dims.ndisplay = 3
    assert "is shown in 3-D: switch to 2-D" in dock.status.text()
    viewer.dims.ndisplay = 2
    viewer.dims.order = (1, 0, 2)
    assert "cuts across the frames of 'stack'" in dock.status.text()
    viewer.dims.order = (0, 1, 2)
    assert dock.status.text() == before


def test_image_that_is_too_small(viewer, dock):
    viewer.add_image(np.zeros((3, 9, 9), np.uint8), name="tiny")
    assert "16 x 16" in dock.status.text()


def test_reason_of_the_preview_is_the_status(qtbot, viewer, dock, stack):
    image = viewer.add_image(stack[0], name="stack")
    dock.preview_box.setChecked(True)
    new_annotation_layer(viewer, image, "scribble")
    qtbot.waitUntil(
        lambda: dock.status.text().startswith("There is no annotation yet"), timeout=30_000
    )
    assert dock.status.text().endswith("on a frame of 'stack' in 'scribbles'.")  # it is ticked
    assert dock.preview_box.state.reason == dock.status.text()
    assert dock.preview_box.state_label.full_text == "nothing drawn yet"
    dock.preview_box.setChecked(False)
    assert dock.status.text().startswith("Ready")


def test_message_of_undo_disappears_with_the_next_edit(viewer, dock, stack):
    image = viewer.add_image(stack[0], name="stack")
    layer = new_annotation_layer(viewer, image, "scribble")
    dock.history.undo()
    assert dock.status.text() == "Undone: add layer 'scribbles'."
    dock.history.redo()
    assert dock.status.text() == "Redone: add layer 'scribbles'."
    layer.paint((3, 10, 10), 1)
    assert dock.status.text().startswith("Ready")

    new_annotation_layer(viewer, image, "point")
    dock.history.undo()
    assert dock.status.text() == "Undone: add layer 'points'."
    new_annotation_layer(viewer, image, "box")  # another action
    assert "Undone" not in dock.status.text()


@pytest.mark.parametrize("names", [["drawn"], ["drawn", "more"]])
def test_hidden_annotations_are_named_at_the_run(qtbot, viewer, dock, engine, annotated, names):
    if "more" in names:
        viewer.add_labels(annotated[1].data, name="more")
    press(qtbot, dock.segment_button)
    assert "hidden" not in dock.status.text()
    press(qtbot, dock.cancel_button)
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    for name in names:
        viewer.layers[name].visible = False
    press(qtbot, dock.segment_button)
    assert "hidden but ticked" in dock.status.text()
    assert all(f"'{name}'" in dock.status.text() for name in names)


def test_a_layer_is_selected_after_the_result_is_undone(qtbot, viewer, dock, engine, annotated):
    run(qtbot, dock, engine)
    run(qtbot, dock, engine)
    first, second = results(viewer)
    viewer.layers.selection.active = second
    dock.history.undo()
    assert viewer.layers.selection.active == first
    dock.history.undo()
    assert viewer.layers.selection.active == annotated[0]
