"""Changes of layers and failures during a run; finished frames are never lost."""

import os
import signal

import numpy as np
import pytest
from tests.plugin.disturbances import (
    delete_everything,
    delete_image,
    edit_image,
    rename_everything,
)
from tests.plugin.window import press, results

from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget

pytestmark = pytest.mark.alone


def done(layer):
    return sorted(layer.metadata["napari-vrp-sam"]["frames_done"])


@pytest.fixture
def midway(qtbot, viewer, dock, engine, annotated):
    """Run in which two of seven frames are finished."""
    viewer.dims.set_current_step(0, 3)
    dock.segment()
    engine.let_through(2)
    qtbot.waitUntil(lambda: bool(results(viewer)) and len(done(results(viewer)[0])) == 2)


def delete_annotation(viewer):
    viewer.layers.remove("drawn")


def delete_result(viewer):
    viewer.layers.remove("stack segmented")


def edit_result(viewer):
    viewer.layers["stack segmented"].data = viewer.layers["stack segmented"].data.astype(np.int32)


@pytest.mark.parametrize(
    "disturb",
    [
        delete_image,
        delete_annotation,
        delete_result,
        delete_everything,
        rename_everything,
        edit_image,
        edit_result,
    ],
)
def test_run_survives_changes_of_layers(qtbot, viewer, dock, engine, midway, stack, disturb):
    disturb(viewer)
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.running, timeout=30_000)
    assert "all 7 frames" in dock.status.text()
    (result,) = results(viewer)
    np.testing.assert_array_equal(result.data, stack[1])

    viewer.layers.clear()
    viewer.add_image(stack[0], name="again")
    drawn = np.zeros_like(stack[1])
    drawn[3] = stack[1][3]
    viewer.add_labels(drawn)
    dock.segment()
    qtbot.waitUntil(lambda: not dock.running, timeout=30_000)
    np.testing.assert_array_equal(results(viewer)[0].data, stack[1])


def test_second_run_does_not_start_during_the_first(qtbot, viewer, dock, engine, midway):
    dock.segment()
    assert len(engine.jobs) == 1
    assert not dock.segment_button.isEnabled()
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.running, timeout=30_000)
    dock.segment()
    qtbot.waitUntil(lambda: not dock.running, timeout=30_000)
    assert len(engine.jobs) == 2
    assert [done(layer) for layer in results(viewer)] == [list(range(7))] * 2


@pytest.mark.slow
def test_killed_worker_is_reported_and_replaced(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    data, truth = sample_stack(size=128, frames=24)
    viewer.add_image(data, name="stack")
    engine = ProcessEngine()
    dock = SegmentStackWidget(viewer, engine)
    viewer.window.add_dock_widget(dock)
    dock.preview_box.setChecked(False)
    drawn = np.zeros_like(truth)
    drawn[3] = truth[3]
    viewer.add_labels(drawn, name="drawn")
    viewer.dims.set_current_step(0, 3)
    dock.segment()
    qtbot.waitUntil(lambda: dock.progress.value() >= 2, timeout=120_000)
    (result,) = results(viewer)
    worker = engine.warm_up().process
    os.kill(worker.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    assert "ended early" in dock.status.text()
    assert dock.status.severity == "error"
    kept = result.data.copy()
    assert {int(z) for z in np.nonzero(kept)[0]} <= set(done(result))

    dock.segment()
    qtbot.waitUntil(lambda: not dock.running, timeout=240_000)
    assert "all 24 frames" in dock.status.text()
    assert engine.warm_up().process.pid != worker.pid
    np.testing.assert_array_equal(result.data, kept)
    second = results(viewer)[-1]
    assert second is not result
    np.testing.assert_array_equal(second.data[done(result)], kept[done(result)])


def test_napari_says_what_closing_the_window_means_for_a_run(
    qtbot, viewer, dock, engine, annotated
):
    tasks = dock.window()._window._task_status_manager
    press(qtbot, dock.segment_button)
    (text,) = tasks.get_status()  # part of napari's question
    assert "Segment stack" in text
    assert "finished frames are kept" in text
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    assert tasks.get_status() == []
