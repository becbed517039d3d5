"""Classes of each image."""

import numpy as np
from tests.plugin.window import press, run

from napari_vrp_sam.plugin.classes.classes import ClassEntry
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget


def test_each_image_has_its_own_classes(qtbot, viewer, dock, engine, annotated, class_list):
    image, drawn = annotated
    classes = class_list.classes
    classes.rename(1, "mitochondria")
    classes.recolour(2, "#ff00ff")
    run(qtbot, dock, engine)
    other = viewer.add_image(np.zeros(image.data.shape, np.uint8), name="other")
    assert [entry.name for entry in classes] == ["class 1"]
    press(qtbot, dock.form.draw_buttons["mask"])
    masks = viewer.layers["masks"]
    classes.rename(1, "nuclei")
    classes.recolour(1, "#00ff00")
    np.testing.assert_allclose(masks.get_color(1), (0, 1, 0, 1))

    dock.form.image_box.choose(image)
    assert [entry.name for entry in classes] == ["mitochondria", "class 2"]
    np.testing.assert_allclose(drawn.get_color(2), (1, 0, 1, 1))
    assert class_list.row(1).name_box.text() == "mitochondria"
    assert dock.history.undo_text == "segment stack"
    dock.form.image_box.choose(other)
    np.testing.assert_allclose(masks.get_color(1), (0, 1, 0, 1))
    dock.history.undo()
    dock.history.undo()
    assert [entry.name for entry in classes] == ["class 1"]
    dock.form.image_box.choose(image)
    assert [entry.name for entry in classes] == ["mitochondria", "class 2"]


def test_names_typed_before_an_image_is_opened_are_those_of_the_first(viewer, dock, class_list):
    class_list.classes.rename(1, "cells")
    viewer.add_image(np.zeros((3, 20, 20)))
    assert class_list.classes.name(1) == "cells"


def test_a_result_of_another_image_brings_its_names(qtbot, viewer, dock, engine, annotated):
    image, _ = annotated
    classes = dock.form.class_list.classes
    classes.rename(1, "mitochondria")
    other = viewer.add_image(image.data, name="other", scale=image.scale, units=image.units)
    assert classes.name(1) == "class 1"
    dock.form.image_box.choose(image)
    engine.let_through()
    dock.runs.apply(other, dock.jobs.apply(other)())
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    assert dock.form.image == other
    assert classes.name(1) == "mitochondria"


def test_classes_of_another_or_of_a_closed_image_can_be_copied(viewer, dock, annotated, class_list):
    image, drawn = annotated
    classes, menu = class_list.classes, class_list.class_menu
    classes.replace_all([ClassEntry(1, "cells", "#00ff00"), ClassEntry(4, "walls", "#ff00ff")])
    viewer.add_image(np.zeros(image.data.shape, np.uint8), name="other")
    before = list(classes)
    viewer.add_labels(np.full((7, 48, 64), 3, np.uint8), name="more")
    assert 3 in classes
    viewer.layers.remove(drawn)
    viewer.layers.remove(image)
    menu.refresh()
    (action,) = menu.menu_of_images.actions()
    assert action.text() == "Copy classes from 'stack'"
    action.trigger()
    assert [(one.number, one.name) for one in classes] == [
        (1, "cells"),
        (3, "class 3"),  # drawn on this image
        (4, "walls"),
    ]
    assert class_list.row(4).name_box.text() == "walls"
    np.testing.assert_allclose(viewer.layers["more"].get_color(4), (1, 0, 1, 1))
    assert dock.status.text() == "The classes of 'stack' were copied."
    dock.history.undo()
    assert [one.number for one in classes] == sorted({one.number for one in before} | {3})
    assert classes.name(1) == "class 1"


def test_classes_outlive_the_dock(qtbot, viewer, dock, engine, annotated):
    classes = dock.form.class_list.classes
    classes.rename(1, "cell")
    classes.recolour(2, "#00ff00")
    viewer.window.remove_dock_widget(dock)
    again = SegmentStackWidget(viewer, engine)
    viewer.window.add_dock_widget(again, name="again")
    entries = list(again.form.class_list.classes)
    assert [(entry.number, entry.name) for entry in entries] == [(1, "cell"), (2, "class 2")]
    assert entries[1].colour == "#00ff00"
    other = viewer.add_image(np.zeros(annotated[0].data.shape, np.uint8), name="other")
    assert again.form.image_box.layer == other
    assert [entry.name for entry in again.form.class_list.classes] == ["class 1"]
