"""Layers of one image do not disturb the work on another one."""

import numpy as np
from tests.plugin.window import press, results, run


def test_layers_of_other_images_are_hidden_and_come_back(qtbot, viewer, dock, engine, annotated):
    image, drawn = annotated
    run(qtbot, dock, engine)
    (result,) = results(viewer)
    scale = {"scale": image.scale, "units": image.units}
    other = viewer.add_image(np.zeros(image.data.shape, np.uint8), name="other", **scale)
    assert dock.form.image == other
    assert (image.visible, other.visible) == (True, True)
    assert not result.visible
    assert drawn.visible  # it may annotate either image: it was not added for one
    press(qtbot, dock.form.draw_buttons["mask"])
    masks = viewer.layers["masks"]
    viewer.layers.selection.active = image
    assert (result.visible, masks.visible) == (True, False)
    viewer.layers.selection.active = other
    assert (result.visible, masks.visible) == (False, True)
    result.visible = True  # by the user
    viewer.layers.selection.active = image
    assert result.visible


def test_undo_is_offered_with_its_image(qtbot, viewer, dock, engine, annotated):
    image, _ = annotated
    run(qtbot, dock, engine)
    press(qtbot, dock.accept_button)
    assert dock.history.undo_text.startswith("accept frame")
    other = viewer.add_image(np.zeros(image.data.shape, np.uint8), name="other")
    assert dock.history.undo_text == ""
    assert not dock.undo_buttons.undo_button.isEnabled()
    press(qtbot, dock.form.draw_buttons["mask"])
    press(qtbot, dock.form.class_list.add_button)
    assert dock.history.undo_text == "add 'class 2'"
    viewer.layers.selection.active = image
    assert dock.history.undo_text.startswith("accept frame")
    press(qtbot, dock.undo_buttons.undo_button)
    assert dock.history.undo_text == "segment stack"
    viewer.layers.selection.active = other
    assert dock.history.undo_text == "add 'class 2'"
    press(qtbot, dock.undo_buttons.undo_button)
    assert dock.history.undo_text == "add layer 'masks'"
    assert dock.history.redo_text == "add 'class 2'"


def test_another_image_is_shown_from_the_top_of_the_dock(qtbot, viewer, dock, annotated):
    bar = dock.scroll.verticalScrollBar()
    dock.window().resize(1000, 500)
    qtbot.waitUntil(lambda: bar.maximum() > 50)
    bar.setValue(50)
    viewer.add_image(np.zeros((7, 48, 64), np.uint8), name="other")
    assert bar.value() == 0
