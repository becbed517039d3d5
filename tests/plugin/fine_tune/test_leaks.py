"""Repeated fine-tuning does not leak widgets or layers."""

import gc

import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QApplication
from tests.plugin.conftest import open_annotated
from tests.plugin.segment.test_leaks import counts

from napari_vrp_sam.models.zoo import user_models
from napari_vrp_sam.plugin.fine_tune.widget import FineTuneWidget
from napari_vrp_sam.plugin.inputs.shared_choice import SharedSelection

pytestmark = pytest.mark.alone

WARM_UP, CYCLES = 3, 4


def cycle(qtbot, viewer, lessons, stack):
    """Open the dock, annotate, train, compare, close the dock and the layers."""
    tuner = FineTuneWidget(viewer, lessons)
    frame = viewer.window.add_dock_widget(tuner, name="Fine-tune")
    open_annotated(viewer, stack)
    tuner.user_models_panel.expand(animate=False)
    tuner.fine_tune()
    lessons.let_through()
    qtbot.waitUntil(lambda: not tuner.running, timeout=30_000)
    assert "is better" in tuner.status.text()
    user_models.delete("stack-lite")
    viewer.window.remove_dock_widget(frame)
    viewer.layers.clear()
    frame.deleteLater()
    del lessons.jobs[:], lessons.runs[:]
    notification_manager.records.clear()
    QApplication.processEvents()


def own_counts():
    """Count the objects that `counts` does not."""
    return {
        "tuners": sum(type(o) is FineTuneWidget for o in gc.get_objects()),
        "choices": len(SharedSelection.instances),
    }


@pytest.mark.slow
def test_nothing_leaks(qtbot, make_napari_viewer, lessons, stack):
    viewer = make_napari_viewer(show=True)
    for _ in range(WARM_UP):
        cycle(qtbot, viewer, lessons, stack)
    before = {**counts(viewer), **own_counts()}
    for _ in range(CYCLES):
        cycle(qtbot, viewer, lessons, stack)
    assert {**counts(viewer), **own_counts()} == before
