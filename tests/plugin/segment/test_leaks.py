"""Memory and connections after many uses of the dock."""

import gc
import os
import threading
import weakref

import numpy as np
import psutil
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QApplication

from napari_vrp_sam.plugin.layers.metadata import unwrap
from napari_vrp_sam.plugin.layers.outputs.probabilities import ProbabilityLayers
from napari_vrp_sam.plugin.layers.outputs.results import ResultLayer, is_result_layer
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget
from napari_vrp_sam.plugin.widgets.background.watched_run import WatchedRun

pytestmark = pytest.mark.alone

WARM_UP = 10
CYCLES = int(os.environ.get("VRP_SAM_CYCLES", "16"))
"""A leak of one widget per cycle shows within 40 cycles; 200 cycles take minutes."""
MEGABYTES = 50 * max(CYCLES / 200, 0.5)
"""Maximum growth of the memory, half of it for caches of libraries."""


def cycle(qtbot, viewer, engine, data, truth):
    """Open the dock, annotate, run, accept, and close the dock and the layers."""
    dock = SegmentStackWidget(viewer, engine)
    around = viewer.window.add_dock_widget(dock, name="Segment stack")
    viewer.add_image(data, name="stack")
    dock.form.draw_buttons["mask"].click()
    masks = viewer.layers["masks"]
    masks.data[3] = truth[3]
    masks.refresh()
    viewer.dims.set_current_step(0, 3)
    dock.segment_button.click()
    qtbot.waitUntil(lambda: not dock.running, timeout=30_000)
    assert [layer for layer in viewer.layers if is_result_layer(layer)], dock.status.text()
    dock.accept_button.click()
    viewer.window.remove_dock_widget(around)
    viewer.layers.clear()
    around.deleteLater()
    del engine.jobs[:], engine.runs[:]
    notification_manager.records.clear()
    QApplication.processEvents()


def counts(viewer):
    gc.collect()
    QApplication.sendPostedEvents()
    QApplication.processEvents()
    gc.collect()
    window = viewer.window._qt_window
    return {
        "docks": sum(type(o) is SegmentStackWidget for o in gc.get_objects()),
        "widgets": len(QApplication.allWidgets()),
        "timers": len(window.findChildren(QTimer)),
        "threads": threading.active_count(),
        "processes": len(psutil.Process().children(recursive=True)),
        "callbacks": sum(
            # napari removes dead callbacks at the next event.
            not isinstance(callback, tuple) or callback[0]() is not None
            for events in (viewer.layers.events, viewer.dims.events, viewer.layers.selection.events)
            for emitter in events.emitters.values()
            for callback in emitter.callbacks
        ),
    }


def collect():
    # Deferred deletion otherwise needs an event loop.
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()
    gc.collect()


@pytest.mark.slow
def test_deleted_layers_are_freed(qtbot, viewer, dock, engine, annotated):
    """Run several times and delete the result layers."""
    engine.let_through()
    dock.probability_box.setChecked(True)
    dock.objects_panel.form.output_box.setCurrentIndex(1)
    drawn = list(viewer.layers)
    made, arrays = [], []
    for _ in range(3):
        dock.segment()
        qtbot.waitUntil(lambda: not dock.running, timeout=30_000)
        qtbot.waitUntil(lambda: not dock.objects_panel.running, timeout=30_000)
        new = [unwrap(layer) for layer in viewer.layers if layer not in drawn]
        assert len(new) == 4, new  # result, objects, two probabilities
        made += [weakref.ref(layer) for layer in new]
        arrays += [weakref.ref(layer.data) for layer in new]
        for layer in new:
            viewer.layers.remove(layer)
        del layer, new
    qtbot.waitUntil(lambda: not (collect() or any(ref() is not None for ref in made)))
    assert not any(ref() is not None for ref in arrays)
    assert not [o for o in gc.get_objects() if type(o) in {ResultLayer, ProbabilityLayers}]
    assert not dock.findChildren(WatchedRun)


def test_undone_result_stays_in_memory_for_redo(qtbot, viewer, dock, engine, annotated, stack):
    engine.let_through()
    dock.segment()
    qtbot.waitUntil(lambda: not dock.running, timeout=30_000)
    dock.history.undo()
    collect()
    assert not [layer for layer in viewer.layers if is_result_layer(layer)]
    dock.history.redo()
    (result,) = [layer for layer in viewer.layers if is_result_layer(layer)]
    np.testing.assert_array_equal(result.data, stack[1])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_repeated_use_leaks_nothing(qtbot, make_napari_viewer, engine, stack, capsys):
    viewer = make_napari_viewer(show=True)
    engine.let_through(100 * (WARM_UP + CYCLES))
    for _ in range(WARM_UP):
        cycle(qtbot, viewer, engine, *stack)
    before, memory = counts(viewer), psutil.Process().memory_info().rss
    for _ in range(CYCLES):
        cycle(qtbot, viewer, engine, *stack)
    after, grown = counts(viewer), (psutil.Process().memory_info().rss - memory) / 1e6
    with capsys.disabled():
        print(f"\n{CYCLES} cycles: {before} became {after}; memory grew by {grown:.0f} MB")  # noqa: T201
    assert after == before
    assert grown < MEGABYTES
