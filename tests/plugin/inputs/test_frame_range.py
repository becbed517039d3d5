"""The range of the frames to segment."""

import numpy as np
import pytest
from tests.plugin.window import press

from napari_vrp_sam.plugin.inputs.frame_range import FrameRange
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer


@pytest.fixture
def box(qtbot):
    box = FrameRange()
    qtbot.addWidget(box)
    return box


def test_all_frames_by_default(box):
    assert box.value() is None
    box.set_length(7)
    assert (box.first.value(), box.last.value()) == (0, 6)
    assert box.value() is None
    box.last.setValue(4)
    assert box.value() == (0, 5)


def test_range_is_never_empty_and_kept_for_the_same_length(box):
    box.set_length(7)
    box.first.setValue(3)
    box.last.setValue(1)
    assert box.value() == (3, 4)
    box.set_length(7)
    assert box.value() == (3, 4)
    box.set_length(3)
    assert box.value() is None
    assert box.last.value() == 2


def test_only_frames_of_the_range_are_segmented(qtbot, viewer, dock, engine, annotated, stack):
    dock.form.frame_range.last.setValue(4)
    dock.form.frame_range.first.setValue(2)
    engine.let_through()
    press(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    (result,) = [layer for layer in viewer.layers if is_result_layer(layer)]
    np.testing.assert_array_equal(result.data[2:5], stack[1][2:5])
    assert not result.data[:2].any()
    assert not result.data[5:].any()
    assert "all 3 frames" in dock.status.text()


def test_range_is_shown_for_one_frame_axis_only(viewer, dock):
    shown, images = dock.form.frame_range.isVisible, dock.form.image_box
    assert not shown()
    for number, (shape, offered) in enumerate(
        [((5, 20, 30), True), ((2, 5, 20, 30), False), ((20, 30), False)]
    ):
        viewer.add_image(np.zeros(shape))
        images.setCurrentIndex(number)
        assert shown() is offered
