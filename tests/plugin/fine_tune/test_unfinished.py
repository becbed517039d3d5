"""Interrupted runs: resumed with the image only, or discarded."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_vrp_sam.fine_tuning.interrupted.saved_job import lock_run, save_job
from napari_vrp_sam.fine_tuning.job import interrupted_runs
from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.zoo import user_models as models
from napari_vrp_sam.plugin.fine_tune.widget import FineTuneWidget


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def interrupted(viewer, tuner, opened):
    """Return the job of an interrupted run whose annotation layer was deleted."""
    job = tuner.form.job()
    save_job(job, {"image": [7, 48, 64], "channels": None, "parts": "vrp-encoder", "minutes": 2.0,
               "steps": None, "limits": None, "seed": 5})  # fmt: skip
    viewer.layers.remove("drawn")
    tuner.unfinished_box.refresh()
    return job


def test_interrupted_run_is_listed_and_resumed(qtbot, viewer, tuner, lessons, interrupted):
    assert tuner.unfinished_box.isVisible()
    ((resume, _),) = tuner.unfinished_box.rows.values()
    press(qtbot, resume)
    assert tuner.running
    assert not tuner.unfinished_box.isVisible()
    (job,) = lessons.jobs
    assert (job.output, job.parts, job.minutes, job.seed, job.model) == (
        interrupted.output,
        "vrp-encoder",
        2.0,
        5,
        "lite",
    )
    for loaded, original in zip(job.references, interrupted.references, strict=True):
        np.testing.assert_array_equal(loaded.image, original.image)
        np.testing.assert_array_equal(loaded.mask, original.mask)
        assert (loaded.class_id, loaded.kind, loaded.frame) == (
            original.class_id,
            original.kind,
            original.frame,
        )
    lessons.let_through()
    qtbot.waitUntil(lambda: not tuner.running)
    assert [model.name for model in models.list_user_models()] == ["stack-lite"]
    assert not tuner.unfinished_box.isVisible()


def test_interrupted_run_is_discarded(qtbot, tuner, interrupted, user_models):
    ((_, discard),) = tuner.unfinished_box.rows.values()
    press(qtbot, discard)
    assert interrupted_runs(user_models) == []
    assert not interrupted.folder.exists()
    assert not tuner.unfinished_box.isVisible()
    assert tuner.status.text() == "The fine-tuning of 'stack-lite' was discarded."


def test_nothing_is_left_of_a_cancelled_run_that_is_discarded(qtbot, tuner, lessons, opened):
    assert tuner.form.name_box.text() == "stack-lite"
    press(qtbot, tuner.controls.start_button)
    lessons.let_through(2)
    qtbot.waitUntil(tuner.comparison.isVisible, timeout=30_000)
    press(qtbot, tuner.controls.cancel_button)
    qtbot.waitUntil(lambda: not tuner.running, timeout=30_000)
    assert tuner.plot.isVisible()
    assert tuner.form.name_box.text() == "stack-lite-2"
    ((_, discard),) = tuner.unfinished_box.rows.values()
    press(qtbot, discard)
    assert not tuner.plot.isVisible()
    assert not tuner.comparison.isVisible()
    assert tuner.form.name_box.text() == "stack-lite"


def test_run_in_another_window_is_not_discarded(qtbot, tuner, interrupted):
    ((_, discard),) = tuner.unfinished_box.rows.values()
    with lock_run(interrupted.folder):
        press(qtbot, discard)
    assert tuner.status.text().startswith("'stack-lite' is being fine-tuned in another window")
    assert interrupted.folder.is_dir()


def test_image_of_another_shape_is_rejected(qtbot, viewer, tuner, lessons, interrupted):
    other = viewer.add_image(np.zeros((3, 20, 20)), name="other")
    tuner.form.image_box.choose(other)
    ((resume, _),) = tuner.unfinished_box.rows.values()
    press(qtbot, resume)
    assert "on an image of 7 x 48 x 64, not 3 x 20 x 20" in tuner.status.text()
    viewer.layers.clear()
    press(qtbot, resume)
    assert "No image is open" in tuner.status.text()
    assert lessons.jobs == []
    assert tuner.unfinished_box.isVisible()


def test_several_interrupted_runs_are_listed(qtbot, viewer, tuner, opened):
    for name in ("b", "a"):
        tuner.form.name_box.setText(name)
        save_job(tuner.form.job(), {})
    tuner.unfinished_box.refresh()
    assert [output.stem for output in tuner.unfinished_box.rows] == ["a", "b"]
    first, second = (resume for resume, _ in tuner.unfinished_box.rows.values())
    assert first.accessibleName() == "Resume a"
    qtbot.waitUntil(lambda: first.mapTo(tuner, first.pos()).y() != 0)
    press(qtbot, second)
    assert "The saved fine-tuning of 'b' is damaged: discard it" in tuner.status.text()


@pytest.fixture
def real(viewer):
    """Open the dock with a real worker process and a small annotated stack."""
    engine = ProcessEngine()
    widget = FineTuneWidget(viewer, engine)
    viewer.window.add_dock_widget(widget, name="Fine-tune")
    stack, truth = sample_stack(size=96, frames=4)
    viewer.add_image(stack, name="small")
    labels = viewer.add_labels(np.zeros(stack.shape, np.uint8), name="masks")
    labels.data[1:3] = truth[1:3]
    widget.form.device_box.setCurrentText("cpu")
    yield widget, engine
    engine.close()


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_run_is_resumed_after_its_process_was_killed(qtbot, viewer, real, user_models):
    tuner, engine = real
    press(qtbot, tuner.controls.start_button)
    qtbot.waitUntil(lambda: len(tuner.plot.losses) > 2, timeout=120_000)
    (folder,) = user_models.iterdir()
    checkpoint = folder / "checkpoint.safetensors"
    qtbot.waitUntil(checkpoint.exists, timeout=60_000)
    engine.warm_up().process.kill()
    qtbot.waitUntil(lambda: not tuner.running, timeout=10_000)
    assert "ended early" in tuner.status.text()
    viewer.layers.remove("masks")
    assert tuner.unfinished_box.isVisible()
    ((resume, _),) = tuner.unfinished_box.rows.values()
    press(qtbot, resume)
    qtbot.waitUntil(lambda: len(tuner.plot.losses) > 0, timeout=120_000)
    assert tuner.plot.losses[0][0] > 1

    process = engine.warm_up().process
    press(qtbot, tuner.controls.cancel_button)
    qtbot.waitUntil(lambda: not tuner.running, timeout=30_000)
    assert process.poll() is not None
    assert tuner.unfinished_box.isVisible()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_real_run_ends_with_a_model_or_a_reason(qtbot, viewer, real):
    tuner, _ = real
    viewer.dims.set_current_step(0, 0)
    tuner.form.minutes_box.setValue(0.1)
    press(qtbot, tuner.controls.start_button)
    qtbot.waitUntil(lambda: not tuner.running, timeout=300_000)
    assert "IoU on held-out annotation: 0." in tuner.status.text()
    saved = [model.name for model in models.list_user_models()]
    assert saved == (["small-lite"] if "is better" in tuner.status.text() else [])
    assert tuner.plot.base is not None
    assert tuner.plot.losses
    assert not tuner.unfinished_box.isVisible()
