"""The status card and the preview state in a window: always true, and at a fixed place."""

import re

import numpy as np
import pytest
from tests.plugin.window import press, results, run

from napari_vrp_sam.inference.prediction.memory import next_step
from napari_vrp_sam.inference.runs.events import RunWarning
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.devices import device_name, resolve_device
from napari_vrp_sam.plugin.layers.outputs.outlines import is_preview_layer


def previews(viewer):
    return [layer for layer in viewer.layers if is_preview_layer(layer)]


def test_the_message_before_a_run_disappears_when_it_starts(qtbot, viewer, dock, engine, stack):
    viewer.add_image(stack[0], name="stack")
    press(qtbot, dock.segment_button)
    assert "There is no annotation yet" in dock.status.text()
    viewer.add_labels(stack[1], name="drawn")
    assert dock.status.text().startswith("Ready")
    assert dock.status.severity == "info"
    press(qtbot, dock.segment_button)
    assert re.match(r"(Starting|Loading|Sampling|Learning|Frame)", dock.status.text())
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    assert "Segmented all 7 frames" in dock.status.text()
    press(qtbot, dock.segment_button)
    assert "Segmented" not in dock.status.text()


def test_the_panel_ticks_during_a_long_stage(qtbot, viewer, dock, engine, annotated):
    press(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: "Frame 1 of 7" in dock.status.text(), timeout=60_000)
    before = dock.status.text()
    qtbot.waitUntil(lambda: dock.status.text() != before, timeout=60_000)
    assert re.fullmatch(r"Frame 1 of 7 \(\d+ s\)", dock.status.text())


def test_tiles_of_a_large_frame_are_shown_and_can_be_cancelled(qtbot, viewer, dock, engine):
    data = np.zeros((384, 384), np.uint8)
    data[:50, :50] = 200
    viewer.add_image(data, name="large")
    viewer.add_labels((data > 0).astype(np.uint8), name="drawn")
    dock.form.tile_box.setValue(256)
    press(qtbot, dock.segment_button)
    engine.let_through(1)
    qtbot.waitUntil(lambda: "Frame 1 of 1, tile 2 of 4" in dock.status.text(), timeout=60_000)
    assert (dock.progress.value(), dock.progress.maximum()) == (1, 4)
    press(qtbot, dock.cancel_button)
    assert "Cancelling" in dock.status.text()
    engine.let_through(1)
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    assert dock.status.text() == "Cancelled: no frame was finished."


def test_a_full_memory_is_reported_during_the_run(qtbot, viewer, dock, engine, annotated):
    press(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: "Frame 1 of 7" in dock.status.text(), timeout=60_000)
    step = next_step(2, 512, "cuda", tiles=True)
    dock.panel._run._handle_events([RunWarning(step.message)])
    assert step.message in dock.status.text()
    assert dock.status.severity == "warning"
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)


def test_an_image_without_contrast_is_reported(qtbot, viewer, dock, engine):
    viewer.add_image(np.full((3, 48, 64), 7, np.uint8), name="empty")
    drawn = np.zeros((3, 48, 64), np.uint8)
    drawn[1, 5:20, 5:20] = 1
    viewer.add_labels(drawn, name="drawn")
    run(qtbot, dock, engine)
    assert "The stack shows no contrast" in dock.status.text()
    assert dock.status.severity == "warning"


def test_message_and_quality_follow_the_result(qtbot, viewer, dock, engine, annotated, stack):
    engine.calibrations = {1: ClassCalibration(0.5, expected_iou=0.744), 2: ClassCalibration(0.5)}
    run(qtbot, dock, engine)
    (result,) = results(viewer)
    result.name = "cells"
    assert "into 'cells'" in dock.status.text()
    # The mean confidence of the frames without annotation replaces the estimate before the run.
    shown = "Expected IoU: 0.88 (class 1)"
    assert dock.expected_iou_label.text().startswith(shown)
    assert "class 1: expected IoU 0.74" in dock.expected_iou_label.toolTip()

    other = viewer.add_image(stack[0][:3], name="other")
    dock.form.image_box.choose(other)
    assert "Segmented" not in dock.status.text()
    assert not dock.expected_iou_label.isVisible()
    assert not dock.quality_panel.isVisible()
    dock.form.image_box.choose(annotated[0])
    assert shown in dock.expected_iou_label.text()

    dock.history.undo()
    assert dock.status.text() == "Undone: segment stack."
    assert not dock.expected_iou_label.text()
    dock.history.redo()
    assert shown in dock.expected_iou_label.text()
    viewer.layers.remove("cells")
    assert dock.status.text().startswith("Ready")
    assert not dock.expected_iou_label.text()


def test_deleted_result_takes_the_message_with_it(qtbot, viewer, dock, engine, annotated):
    run(qtbot, dock, engine)
    viewer.layers.remove(results(viewer)[0])
    assert dock.status.text().startswith("Ready")
    viewer.layers.remove("drawn")
    assert dock.status.text().startswith("No annotation yet")
    viewer.layers.remove("stack")
    assert dock.status.text().startswith("No image is open")


def test_device_of_the_model_is_shown(qtbot, viewer, dock, engine, annotated):
    run(qtbot, dock, engine)
    assert dock.card.engine.text() == device_name(resolve_device("auto"))


def test_details_of_a_long_error_are_folded(qtbot, viewer, dock):
    dock._warn("SAM ViT-B is missing.\n" + "Its address does not answer. " * 9)
    assert dock.status.text() == "SAM ViT-B is missing."
    assert dock.card.details_button.isVisible()
    assert not dock.card.details.isVisible()
    press(qtbot, dock.card.details_button)
    assert dock.card.details.isVisible()


@pytest.fixture
def live(qtbot, viewer, dock, engine, annotated):
    """Show a preview of frame 3, in the image that is chosen."""
    viewer.dims.set_current_step(0, 3)
    dock.preview_box.setChecked(True)
    qtbot.waitUntil(lambda: dock.preview_box.state.phase == "busy", timeout=30_000)
    assert dock.preview_box.state_label.full_text == "updating…"
    engine.let_through()
    qtbot.waitUntil(lambda: dock.preview_box.state.phase == "up to date", timeout=30_000)
    return annotated


def test_preview_is_out_of_date_until_it_shows_the_change(qtbot, viewer, dock, live):
    label = dock.preview_box.state_label
    assert label.full_text == "up to date"
    live[1].paint((3, 20, 50), 0)
    assert label.full_text == "out of date"
    qtbot.waitUntil(lambda: label.full_text == "up to date", timeout=30_000)


def test_outline_does_not_outlive_annotation_and_image(qtbot, viewer, dock, live, stack):
    other = viewer.add_image(stack[0], name="other")
    dock.form.image_box.choose(other)
    assert not previews(viewer)
    dock.form.image_box.choose(live[0])
    qtbot.waitUntil(lambda: bool(previews(viewer)), timeout=30_000)
    viewer.layers.remove("drawn")
    qtbot.waitUntil(lambda: not previews(viewer), timeout=30_000)
    assert not dock.preview_box.state_label.full_text


def test_outline_does_not_outlive_an_undone_stroke(qtbot, viewer, dock, engine, stack):
    viewer.add_image(stack[0], name="stack")
    labels = viewer.add_labels(np.zeros_like(stack[1]), name="drawn")
    viewer.dims.set_current_step(0, 3)
    engine.let_through()
    dock.preview_box.setChecked(True)
    labels.paint((3, 18, 10), 1)
    qtbot.waitUntil(lambda: bool(previews(viewer)), timeout=30_000)
    labels.undo()
    qtbot.waitUntil(lambda: not previews(viewer), timeout=30_000)
    assert "no annotation" in dock.preview_box.state.reason
    assert dock.preview_box.state_label.full_text == "nothing drawn yet"
    assert "no annotation" in dock.preview_box.state_label.toolTip()
