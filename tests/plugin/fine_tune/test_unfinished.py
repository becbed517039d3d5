"""Runs that were broken off: killed, or by closing napari; resumed with nothing but the image."""

import os
import signal
import time

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_vrp_sam.fine_tuning.interrupted.run_lock import lock_run
from napari_vrp_sam.fine_tuning.interrupted.saved_job import save_job
from napari_vrp_sam.fine_tuning.job import interrupted_runs
from napari_vrp_sam.inference.runs.process import ProcessEngine
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.zoo import user_models as store
from napari_vrp_sam.plugin.fine_tune.widget import FineTuneWidget


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def broken_off(viewer, tuner, opened):
    """A run of which there is a record; the annotation is gone."""
    job = tuner.form.job()
    save_job(job, {"image": [7, 48, 64], "channels": None, "parts": "vrp-encoder", "minutes": 2.0,
               "steps": None, "limits": None, "seed": 5})  # fmt: skip
    viewer.layers.remove("drawn")
    tuner.unfinished_box.refresh()
    return job


def test_it_is_offered_and_resumed_without_the_annotation(
    qtbot, viewer, tuner, lessons, broken_off
):
    assert tuner.unfinished_box.isVisible()
    ((resume, _),) = tuner.unfinished_box.rows.values()
    press(qtbot, resume)
    assert tuner.running
    assert not tuner.unfinished_box.isVisible()
    (job,) = lessons.jobs
    assert (job.output, job.parts, job.minutes, job.seed, job.model) == (
        broken_off.output,
        "vrp-encoder",
        2.0,
        5,
        "lite",
    )
    for ours, theirs in zip(job.references, broken_off.references, strict=True):
        np.testing.assert_array_equal(ours.image, theirs.image)
        np.testing.assert_array_equal(ours.mask, theirs.mask)
        assert (ours.class_id, ours.kind, ours.frame) == (
            theirs.class_id,
            theirs.kind,
            theirs.frame,
        )
    lessons.let_through()
    qtbot.waitUntil(lambda: not tuner.running)
    assert [model.name for model in store.list_user_models()] == ["stack-lite"]
    assert not tuner.unfinished_box.isVisible()


def test_it_can_be_discarded(qtbot, tuner, broken_off, user_models):
    ((_, discard),) = tuner.unfinished_box.rows.values()
    press(qtbot, discard)
    assert interrupted_runs(user_models) == []
    assert not broken_off.folder.exists()
    assert not tuner.unfinished_box.isVisible()
    assert tuner.status.text() == "The fine-tuning of 'stack-lite' is discarded."


def test_what_another_window_is_at_is_not_discarded(qtbot, tuner, broken_off):
    ((_, discard),) = tuner.unfinished_box.rows.values()
    with lock_run(broken_off.folder):
        press(qtbot, discard)
    assert tuner.status.text().startswith("Another window or process fine-tunes 'stack-lite'")
    assert broken_off.folder.is_dir()


def test_another_image_is_refused(qtbot, viewer, tuner, lessons, broken_off):
    other = viewer.add_image(np.zeros((3, 20, 20)), name="other")
    tuner.form.image_box.choose(other)
    ((resume, _),) = tuner.unfinished_box.rows.values()
    press(qtbot, resume)
    assert "about an image of 7 x 48 x 64, not 3 x 20 x 20" in tuner.status.text()
    viewer.layers.clear()
    press(qtbot, resume)
    assert "There is no image yet" in tuner.status.text()
    assert lessons.jobs == []
    assert tuner.unfinished_box.isVisible()


def test_several_are_offered_one_below_the_other(qtbot, viewer, tuner, opened):
    for name in ("b", "a"):
        tuner.form.name_box.setText(name)
        save_job(tuner.form.job(), {})
    tuner.unfinished_box.refresh()
    assert [output.stem for output in tuner.unfinished_box.rows] == ["a", "b"]
    first, second = (resume for resume, _ in tuner.unfinished_box.rows.values())
    assert first.accessibleName() == "Resume a"
    qtbot.waitUntil(lambda: first.mapTo(tuner, first.pos()).y() != 0)
    press(qtbot, second)
    assert "The run of 'b' cannot be read: discard it" in tuner.status.text()


@pytest.fixture
def real(viewer):
    """The dock with the engine that users have."""
    widget = FineTuneWidget(viewer, ProcessEngine())
    viewer.window.add_dock_widget(widget, name="Fine-tune")
    stack, truth = sample_stack(size=96, frames=4)
    viewer.add_image(stack, name="small")
    labels = viewer.add_labels(np.zeros(stack.shape, np.uint8), name="masks")
    labels.data[1:3] = truth[1:3]
    widget.form.device_box.setCurrentText("cpu")
    yield widget
    widget._engine.close()


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_the_process_comes_back_where_it_was(qtbot, viewer, real, user_models):
    press(qtbot, real.controls.start_button)
    qtbot.waitUntil(lambda: len(real.plot.losses) > 2, timeout=120_000)
    (folder,) = user_models.iterdir()
    checkpoint = folder / "checkpoint.safetensors"
    qtbot.waitUntil(checkpoint.exists, timeout=60_000)
    os.kill(real._engine._worker.process.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: not real.running, timeout=10_000)
    assert "ended early" in real.status.text()
    viewer.layers.remove("masks")  # the user has nothing else left
    assert real.unfinished_box.isVisible()
    ((resume, _),) = real.unfinished_box.rows.values()
    press(qtbot, resume)
    qtbot.waitUntil(lambda: len(real.plot.losses) > 0, timeout=120_000)
    assert real.plot.losses[0][0] > 1

    start = time.monotonic()
    press(qtbot, real.controls.cancel_button)
    qtbot.waitUntil(lambda: not real.running, timeout=5000)
    assert time.monotonic() - start < 1
    assert real._engine._worker is None  # nothing is left of it
    assert real.unfinished_box.isVisible()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_model_comes_out_or_the_reason_why_not(qtbot, viewer, real):
    viewer.dims.set_current_step(0, 0)
    real.form.minutes_box.setValue(0.1)
    press(qtbot, real.controls.start_button)
    qtbot.waitUntil(lambda: not real.running, timeout=300_000)
    assert "IoU held out: 0." in real.status.text()
    saved = [model.name for model in store.list_user_models()]
    assert saved == (["small-lite"] if "is better" in real.status.text() else [])
    assert real.plot.base is not None
    assert real.plot.losses
    assert not real.unfinished_box.isVisible()
