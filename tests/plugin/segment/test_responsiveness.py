"""The window while the worker process segments a stack."""

import threading

import numpy as np
import pytest
from tests.plugin.responsiveness import RecordedStack, TickCounter

from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget


@pytest.mark.slow
def test_gui_thread_does_not_read_frames_or_wait_during_a_run(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    data, ground_truth = sample_stack(size=128, frames=4)
    stack = RecordedStack(data)
    viewer.add_image(stack, name="stack", contrast_limits=(0, 255))
    engine = ProcessEngine()
    dock = SegmentStackWidget(viewer, engine)
    viewer.window.add_dock_widget(dock, name="Segment stack")
    dock.preview_box.setChecked(False)
    labels = viewer.add_labels(np.zeros(data.shape, np.uint8), name="masks")
    labels.data[2] = ground_truth[2]

    dock.segment()
    stack.threads.clear()  # the reference is read when the job is submitted
    counter = TickCounter(dock)
    qtbot.waitUntil(lambda: dock.progress.value() >= 1 or not dock.running, timeout=250_000)
    assert counter.ticks > 20  # while libraries and model were loaded
    qtbot.waitUntil(lambda: not dock.running, timeout=250_000)
    assert stack.threads
    assert threading.main_thread() not in stack.threads
    (result,) = [layer for layer in viewer.layers if is_result_layer(layer)]
    assert result.data[2].any()
    engine.close()
