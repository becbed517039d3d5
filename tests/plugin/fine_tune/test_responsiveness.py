"""The window while a model is trained in the worker process."""

import threading

import numpy as np
import pytest
from tests.plugin.responsiveness import RecordedStack, TickCounter

from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.plugin.fine_tune.widget import FineTuneWidget


@pytest.mark.slow
def test_gui_thread_does_not_read_frames_or_wait_during_training(
    qtbot, make_napari_viewer, user_models
):
    viewer = make_napari_viewer(show=True)
    data, ground_truth = sample_stack(size=64, frames=3)
    stack = RecordedStack(data)
    viewer.add_image(stack, name="stack", contrast_limits=(0, 255))
    labels = viewer.add_labels(np.zeros(data.shape, np.uint8), name="masks")
    labels.data[1:] = ground_truth[1:]
    engine = ProcessEngine()
    tuner = FineTuneWidget(viewer, engine)
    viewer.window.add_dock_widget(tuner, name="Fine-tune")
    tuner.form.device_box.setCurrentText("cpu")

    tuner.fine_tune()
    stack.threads.clear()  # the references are read when the job is submitted
    counter = TickCounter(tuner)
    qtbot.waitUntil(lambda: len(tuner.plot.losses) >= 1 or not tuner.running, timeout=250_000)
    assert tuner.running, tuner.status.text()
    ticks = counter.ticks
    assert ticks > 20  # while libraries and model were loaded
    qtbot.waitUntil(lambda: counter.ticks > ticks + 5)
    assert stack.threads
    assert threading.main_thread() not in stack.threads
    tuner.cancel()
    qtbot.waitUntil(lambda: not tuner.running, timeout=30_000)
    engine.close()
