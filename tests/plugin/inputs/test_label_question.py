"""Questions about Labels layers from other programs, answered with a button."""

from __future__ import annotations

import numpy as np
import pytest
from tests.annotations.test_label_questions import image_of, nuclei, strokes
from tests.plugin.window import press

from napari_vrp_sam.annotations.labels import class_ids_of


@pytest.fixture
def dock(dock):
    dock.preview_box.setChecked(False)
    return dock


def texts(question):
    return [button.full_text for button in question.buttons]


def test_numbered_objects_become_one_class(qtbot, viewer, dock):
    labels = nuclei(8)
    viewer.add_image(image_of(labels)[..., 0], name="cells")
    viewer.add_labels(labels, name="masks")
    question = dock.form.label_question
    assert not question.isVisible()

    dock.segment()

    assert question.isVisible()
    assert question.message.text() == (
        "The labels of 'masks' look like numbered objects (8 values, one object each): say in "
        "the panel whether they are one class."
    )
    assert not dock.running
    assert texts(question) == ["They are one class", "Each value is a class"]
    press(qtbot, question.buttons[0])
    assert not question.isVisible()
    (reference,) = dock.form.references({})
    np.testing.assert_array_equal(reference.mask, labels > 0)


def test_each_value_is_a_class(qtbot, viewer, dock):
    labels = nuclei(5)
    viewer.add_image(image_of(labels)[..., 0])
    viewer.add_labels(labels)
    dock.segment()
    press(qtbot, dock.form.label_question.buttons[1])
    assert class_ids_of(dock.form.references({})) == (1, 2, 3, 4, 5)


def test_strokes_with_a_background(qtbot, viewer, dock):
    labels, image = strokes()
    viewer.add_image(image[..., 0])
    viewer.add_labels(labels, name="strokes")
    dock.segment()
    question = dock.form.label_question
    assert "look like strokes (1 and 2)" in question.message.text()
    press(qtbot, question.buttons[texts(question).index("Strokes, 2 is background")])
    (reference,) = dock.form.references({})
    assert (reference.class_id, reference.kind) == (1, "scribble")
    np.testing.assert_array_equal(reference.negative, labels == 2)
    assert [a.kind for a in dock.form.annotation_list.annotations] == ["scribble"]


def test_unknown_pixels(qtbot, viewer, dock):
    labels = (nuclei(8) > 0).astype(np.int16)
    labels[:3] = 255
    labels[-3:] = -1
    viewer.add_image(image_of(labels == 1)[..., 0])
    viewer.add_labels(labels)
    dock.segment()
    question = dock.form.label_question
    assert texts(question) == ["255 is unknown", "255 is background", "255 is a class"]
    press(qtbot, question.buttons[1])
    dock.segment()
    assert texts(question) == ["-1 is unknown", "-1 is background"]
    press(qtbot, question.buttons[0])
    (reference,) = dock.form.references({})
    np.testing.assert_array_equal(reference.ignored, labels == -1)
    np.testing.assert_array_equal(reference.negative, labels == 255)


def test_layers_of_the_plugin_are_not_asked_about(qtbot, viewer, dock):
    labels = nuclei(5)
    viewer.add_image(image_of(labels)[..., 0])
    press(qtbot, dock.form.draw_buttons["mask"])
    viewer.layers.selection.active.data = labels.astype(np.uint8)
    assert class_ids_of(dock.form.references({})) == (1, 2, 3, 4, 5)


def test_the_preview_asks_too(qtbot, viewer, dock):
    labels = nuclei(8)
    viewer.add_image(image_of(labels)[..., 0])
    dock.preview_box.setChecked(True)
    viewer.add_labels(labels)
    qtbot.waitUntil(dock.form.label_question.isVisible, timeout=20_000)


def test_more_labels_than_classes(qtbot, viewer, dock):
    labels = np.kron(np.arange(1, 41).reshape(5, 8), np.ones((16, 16), int))
    viewer.add_image(image_of(labels > 0)[..., 0])
    layer = viewer.add_labels(np.where(np.indices(labels.shape).sum(axis=0) % 16 < 8, labels, 0))
    dock.form.annotation_list.tick(layer)
    dock.segment()
    question = dock.form.label_question
    assert "have at least 40 different values" in question.message.text()
    press(qtbot, question.buttons[0])
    assert class_ids_of(dock.form.references({})) == (1,)


def test_drawings_that_are_not_used_are_named(qtbot, viewer, dock):
    viewer.add_image(image_of(nuclei(8))[..., 0])
    viewer.add_points([(20, 30), (500, 30)], name="points")
    box = dock.form.label_question
    dock.form.references({})
    assert box.isVisible()
    assert box.message.text() == "1 point of 'points' lies outside the image and is not used."
    assert not box.buttons
    viewer.layers["points"].data = [(20, 30)]
    dock.form.references({})
    assert not box.isVisible()
