"""The "Fine-tune" dock, from the annotation to the new model."""

from types import SimpleNamespace

import numpy as np
import pytest
from napari.utils import progress
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget
from tests.plugin.disturbances import (
    delete_everything,
    delete_image,
    edit_image,
    rename_everything,
)

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.job import interrupted_runs
from napari_vrp_sam.inference.runs.events import Cancelled
from napari_vrp_sam.models.zoo import user_models as models
from napari_vrp_sam.plugin.fine_tune import run
from napari_vrp_sam.plugin.fine_tune.comparison import AFTER, BEFORE, OFF
from napari_vrp_sam.plugin.layers.outputs.outlines import FrameOutline, is_preview_layer


def press(qtbot, button):
    assert button.isVisible()
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def start(qtbot, tuner, lessons, steps):
    """Press the button, and wait for a number of the six steps."""
    press(qtbot, tuner.controls.start_button)
    lessons.let_through(steps)
    qtbot.waitUntil(lambda: len(tuner.plot.losses) == steps or not tuner.running, timeout=30_000)


def train(qtbot, tuner, lessons):
    start(qtbot, tuner, lessons, 6)
    qtbot.waitUntil(lambda: not tuner.running, timeout=30_000)


def outlines(viewer):
    return [layer for layer in viewer.layers if is_preview_layer(layer)]


def test_better_model_is_saved_and_selected(qtbot, viewer, dock, tuner, lessons, opened):
    viewer.dims.set_current_step(0, 3)
    assert tuner.form.name_box.text() == "stack-lite"
    train(qtbot, tuner, lessons)

    assert [model.name for model in models.list_user_models()] == ["stack-lite"]
    assert tuner.status.text() == (
        "The new model is better (IoU on held-out annotation: 0.500 before, 0.700 after). "
        "'stack-lite' was added to the user models."
    )
    assert tuner.user_models_panel.selected == "stack-lite"
    assert dock.form.model_box.model == "stack-lite"
    assert tuner.form.model_box.findData("stack-lite") > 0
    assert tuner.form.name_box.text() == "stack-lite-2"
    (job,) = lessons.jobs
    assert [(r.frame, r.class_id) for r in job.references] == [(3, 1), (3, 2)]
    assert (job.preview_frame, job.minutes, job.parts, job.model) == (3, None, "head", "lite")
    assert tuner.controls.start_button.isEnabled()


def test_progress_is_shown_during_training(qtbot, viewer, tuner, lessons, opened):
    start(qtbot, tuner, lessons, 4)
    assert tuner.plot.base == 0.5
    assert [step for step, _ in tuner.plot.ious] == [0, 2, 4]
    assert tuner.controls.progress.value() == 40
    assert tuner.controls.progress.text() == "40 s of 1 min"
    assert tuner.status.text() == "Training: 40 s of 1 min, 4 steps done"
    (bar,) = progress._all_instances
    assert (bar.n, bar.total) == (4, 6)
    assert "Fine-tune stack-lite, about 20 s left" in bar.desc
    lessons.let_through()
    qtbot.waitUntil(lambda: not tuner.running)
    assert not progress._all_instances


def test_stage_before_the_training_is_shown_with_its_elapsed_time(
    qtbot, viewer, tuner, lessons, opened, monkeypatch
):
    now = [100.0]

    def wait_for(text):
        qtbot.waitUntil(lambda: tuner.status.text() == text, timeout=30_000)

    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: now[0]))
    press(qtbot, tuner.controls.start_button)
    wait_for("Loading the model…")
    now[0] += 65
    wait_for("Loading the model… (1 min 5 s)")
    lessons.let_through(1)
    wait_for("Training: 10 s of 1 min, 1 step done")
    now[0] += 65
    lessons.let_through()
    qtbot.waitUntil(lambda: not tuner.running, timeout=30_000)


def test_model_that_is_not_better_is_not_saved(qtbot, viewer, dock, tuner, lessons, opened):
    lessons.gain = -0.1
    train(qtbot, tuner, lessons)
    assert tuner.status.text().startswith("The new model is not better (IoU on held-out annot")
    assert "was not saved" in tuner.status.text()
    assert tuner.status.severity == "warning"
    assert models.list_user_models() == []
    assert dock.form.model_box.model == "lite"
    # The plot and the comparison are shown nevertheless.
    assert tuner.plot.ious[-1][1] < tuner.plot.base
    assert tuner.comparison.isVisible()
    assert tuner.form.name_box.text() == "stack-lite"


def test_outlines_larger_than_memory_warn_once(qtbot, viewer, tuner, lessons, opened, monkeypatch):
    def refuse(*_):
        raise InputError("Not enough memory.")

    monkeypatch.setattr(FrameOutline, "show", refuse)
    reported = []
    tuner.comparison.warned.connect(reported.append)
    train(qtbot, tuner, lessons)
    assert reported == ["Not enough memory."]
    assert tuner.comparison.button(OFF).isChecked()
    assert tuner.status.text().startswith("The new model is better")


def test_frame_in_view_is_compared(qtbot, viewer, tuner, lessons, opened):
    viewer.dims.set_current_step(0, 5)
    start(qtbot, tuner, lessons, 3)
    box = tuner.comparison
    (layer,) = outlines(viewer)
    assert (layer.name, layer.editable) == ("stack before | after", False)
    assert viewer.layers.selection.active.name == "drawn"
    assert box.label.text() == "Frame 5"
    assert box.shown == AFTER
    assert set(np.unique(layer.data[5])) == {2}
    assert not layer.data[:5].any()
    assert layer not in [row.layer for row in tuner.form.annotation_list.rows]

    press(qtbot, box.button(BEFORE))
    assert not layer.data.any()
    lessons.let_through(2)
    qtbot.waitUntil(lambda: len(tuner.plot.losses) == 5)
    assert box.shown == BEFORE
    assert not layer.data.any()
    viewer.dims.set_current_step(0, 0)
    press(qtbot, box.button(AFTER))
    assert viewer.dims.current_step[0] == 5
    assert set(np.unique(layer.data[5])) == {4}
    press(qtbot, box.button(OFF))
    assert outlines(viewer) == []
    press(qtbot, box.button(AFTER))
    viewer.layers.remove(outlines(viewer)[0])
    assert box.shown == OFF
    lessons.let_through()
    qtbot.waitUntil(lambda: not tuner.running)
    assert outlines(viewer) == []  # the user deleted it


def test_pause_is_available_from_the_first_step(qtbot, viewer, tuner, lessons, opened):
    pause = tuner.controls.pause_button
    press(qtbot, tuner.controls.start_button)
    qtbot.waitUntil(lambda: "Loading the model" in tuner.status.text(), timeout=30_000)
    assert not pause.isEnabled()
    assert "after the first training step" in pause.toolTip()
    lessons.let_through(1)
    qtbot.waitUntil(pause.isEnabled, timeout=30_000)
    press(qtbot, tuner.controls.cancel_button)
    assert not pause.isEnabled()


def test_paused_run_waits(qtbot, viewer, tuner, lessons, opened):
    start(qtbot, tuner, lessons, 2)
    press(qtbot, tuner.controls.pause_button)
    lessons.let_through()
    qtbot.wait(300)
    assert len(tuner.plot.losses) <= 3
    assert tuner.running
    assert tuner.status.text() == "Paused after the current step."
    assert tuner.controls.pause_button.text() == "Resume"
    press(qtbot, tuner.controls.pause_button)
    qtbot.waitUntil(lambda: not tuner.running)
    assert models.list_user_models()
    assert tuner.controls.pause_button.text() == "Pause"


@pytest.mark.parametrize("paused", [False, True])
def test_cancelled_run_can_be_resumed(qtbot, viewer, tuner, lessons, opened, user_models, paused):
    start(qtbot, tuner, lessons, 2)
    if paused:
        press(qtbot, tuner.controls.pause_button)
    press(qtbot, tuner.controls.cancel_button)
    assert tuner.status.text() == "Cancelling…"
    qtbot.waitUntil(lambda: not tuner.running, timeout=30_000)
    assert tuner.status.text().startswith("Cancelled. A checkpoint was saved")
    assert models.list_user_models() == []
    assert interrupted_runs(user_models) == [user_models / "stack-lite.safetensors"]
    assert tuner.unfinished_box.isVisible()
    assert tuner.form.name_box.text() == "stack-lite-2"  # the first one is used


def test_run_is_cancelled_in_the_activity_dock(qtbot, viewer, tuner, lessons, opened):
    start(qtbot, tuner, lessons, 2)
    (bar,) = progress._all_instances
    bar.cancel()
    qtbot.waitUntil(lambda: not tuner.running)
    assert tuner.status.text().startswith("Cancelled")


def test_second_run_is_rejected_during_the_first(qtbot, viewer, tuner, lessons, opened):
    start(qtbot, tuner, lessons, 2)
    assert not tuner.controls.start_button.isEnabled()
    tuner.fine_tune()
    assert tuner.status.text().startswith("A model is already being trained")
    assert len(lessons.jobs) == 1


def show_in_3d(viewer):
    viewer.dims.ndisplay = 3


@pytest.mark.filterwarnings("ignore:Contours are not displayed")  # from napari in 3-D
def test_run_continues_when_layers_change(qtbot, viewer, tuner, lessons, opened):
    start(qtbot, tuner, lessons, 1)
    changes = show_in_3d, edit_image, delete_image, rename_everything, delete_everything
    for step, change in enumerate(changes, start=2):
        change(viewer)
        assert tuner.running
        lessons.let_through(1)
        qtbot.waitUntil(
            lambda step=step: len(tuner.plot.losses) == step or not tuner.running, timeout=30_000
        )
        for choice in (BEFORE, AFTER, OFF):
            tuner.comparison.button(choice).click()
    qtbot.waitUntil(lambda: not tuner.running)
    assert "The new model is better" in tuner.status.text()
    for choice in (BEFORE, AFTER, OFF):
        tuner.comparison.button(choice).click()


def test_closing_the_dock_ends_the_run(qtbot, viewer, tuner, lessons, opened, user_models):
    start(qtbot, tuner, lessons, 3)
    frame = tuner.parentWidget()
    assert isinstance(frame, QDockWidget)
    frame.close()
    assert not tuner.running
    assert outlines(viewer) == []
    assert list(lessons.runs[0].events())[-1] == Cancelled(0)
    frame.show()
    assert tuner.unfinished_box.isVisible()
    assert list(tuner.unfinished_box.rows) == interrupted_runs(user_models)


def test_closing_the_window_ends_the_run(qtbot, viewer, tuner, lessons, opened):
    start(qtbot, tuner, lessons, 3)
    inserted = viewer.layers.events.inserted

    def listeners():
        # By type, because the repr of a deleted Qt object raises an error.
        owners = [c[0]() for c in inserted.callbacks if isinstance(c, tuple)]
        return {type(owner).__module__ for owner in owners}

    package = "napari_vrp_sam.plugin.fine_tune"
    assert any(module.startswith(package) for module in listeners())
    viewer.close()
    assert list(lessons.runs[0].events())[-1] == Cancelled(0)
    assert not any(module.startswith(package) for module in listeners())


@pytest.mark.parametrize(
    ("error", "severity", "reported"),
    [
        (InputError("The disk is full: make room."), "warning", "The disk is full: make room."),
        (RuntimeError("oops"), "error", "Unexpected error (RuntimeError: oops); please report it."),
    ],
)
def test_errors_are_shown_and_the_next_run_works(
    qtbot, viewer, tuner, lessons, opened, error, severity, reported
):
    lessons.error = error
    start(qtbot, tuner, lessons, 1)
    qtbot.waitUntil(lambda: not tuner.running)
    assert (tuner.status.text(), tuner.status.severity) == (reported, severity)
    lessons.error = None
    tuner.unfinished_box.rows.popitem()[1][1].click()
    train(qtbot, tuner, lessons)
    assert "is better" in tuner.status.text()
