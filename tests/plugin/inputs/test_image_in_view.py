"""The forms follow the selected image, and each image has its own annotations."""

import numpy as np
import pytest
from tests.plugin.window import press, results, run


def names(form):
    return {row.layer.name: row.ticked for row in form.annotation_list.rows}


@pytest.fixture
def second(viewer, annotated, stack):
    """Another image of the same shape, opened after the first one and its annotation."""
    return viewer.add_image(
        stack[0][::-1].copy(), name="second", scale=(2, 0.5, 0.5), units=("um",) * 3
    )


def test_opened_and_selected_images_become_the_image_of_both_forms(
    viewer, dock, tuner, annotated, second
):
    image, drawn = annotated
    selection = viewer.layers.selection
    for form in (dock.form, tuner.form):
        assert form.image_box.layer == second
        selection.active = image
        assert form.image_box.layer == image
        selection.active = drawn  # a layer that may annotate either image
        assert form.image_box.layer == image
        selection.active = second
        assert form.image_box.layer == second


def test_selecting_an_annotation_of_an_image_chooses_the_image(
    qtbot, viewer, dock, annotated, second
):
    press(qtbot, dock.form.draw_buttons["mask"])
    masks = viewer.layers.selection.active
    viewer.layers.selection.active = annotated[0]
    assert dock.form.image_box.layer == annotated[0]
    viewer.layers.selection.active = masks
    assert dock.form.image_box.layer == second


def test_image_chosen_by_hand_stays_when_a_layer_is_added(
    qtbot, viewer, dock, engine, annotated, second
):
    box = dock.form.image_box
    viewer.layers.selection.active = second
    box.setCurrentIndex(box.findText("stack"))
    assert box.layer == annotated[0]
    assert viewer.layers.selection.active == annotated[0]
    run(qtbot, dock, engine)
    assert results(viewer)
    assert box.layer == annotated[0]


def test_image_does_not_change_during_a_run(qtbot, viewer, dock, tuner, engine, annotated, stack):
    press(qtbot, dock.segment_button)
    new = viewer.add_image(stack[0], name="opened during the run")
    viewer.layers.selection.active = annotated[1]
    viewer.layers.selection.active = new
    for form in (dock.form, tuner.form):
        assert form.image_box.layer == annotated[0]
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    assert dock.form.image_box.layer == annotated[0]
    viewer.layers.selection.active = annotated[1]
    viewer.layers.selection.active = new
    assert dock.form.image_box.layer == new


def test_probabilities_do_not_become_the_image(qtbot, viewer, dock, engine, annotated):
    dock.probability_box.setChecked(True)
    run(qtbot, dock, engine)
    (probability, _) = [layer for layer in viewer.layers if "probability" in layer.name]
    viewer.layers.selection.active = probability
    assert dock.form.image_box.layer == annotated[0]


def test_results_objects_and_layers_of_other_images_are_not_listed(
    qtbot, viewer, dock, engine, annotated
):
    dock.objects_panel.form.output_box.setCurrentIndex(1)
    run(qtbot, dock, engine)
    qtbot.waitUntil(lambda: not dock.objects_panel.running, timeout=60_000)
    assert "stack objects" in viewer.layers
    assert names(dock.form) == {"drawn": True}
    small = viewer.add_image(np.zeros((3, 20, 20)), name="small")
    assert dock.form.image_box.layer == small
    assert names(dock.form) == {}
    press(qtbot, dock.form.draw_buttons["scribble"])
    assert names(dock.form) == {"scribbles": True}
    viewer.layers.selection.active = annotated[0]
    assert names(dock.form) == {"drawn": True}


def test_ticks_do_not_carry_over_to_another_image(qtbot, viewer, dock, tuner, annotated, second):
    """The layer could annotate either image, because both lie in the same place."""
    image, drawn = annotated
    for form in (dock.form, tuner.form):
        viewer.layers.selection.active = second
        assert names(form) == {"drawn": False}
        viewer.layers.selection.active = image
        assert names(form) == {"drawn": True}
    dock.form.annotation_list.tick(drawn, on=False)
    viewer.layers.selection.active = second
    dock.form.annotation_list.tick(drawn)
    viewer.layers.selection.active = image
    assert names(dock.form) == names(tuner.form) == {"drawn": False}
    viewer.layers.selection.active = second
    assert names(dock.form) == names(tuner.form) == {"drawn": True}


def test_annotation_of_a_closed_image_does_not_teach_the_next_one(viewer, dock, annotated, stack):
    viewer.layers.remove(annotated[0])
    viewer.add_image(stack[0], name="next")
    assert names(dock.form) == {"drawn": False}
