"""Opening, learning and closing again and again: nothing may pile up."""

import gc

import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QApplication
from tests.plugin.conftest import open_annotated
from tests.plugin.test_leaks import counts

from napari_vrp_sam.models.zoo import user_models as store
from napari_vrp_sam.plugin.fine_tune.widget import FineTuneWidget
from napari_vrp_sam.plugin.inputs import shared_choice

pytestmark = pytest.mark.alone

WARM_UP, CYCLES = 3, 4


def cycle(qtbot, viewer, lessons, stack):
    """Open the dock, annotate, learn, compare, close the dock and the layers."""
    tuner = FineTuneWidget(viewer, lessons)
    around = viewer.window.add_dock_widget(tuner, name="Fine-tune")
    open_annotated(viewer, stack)
    tuner.user_models_panel.expand(animate=False)
    tuner.fine_tune()
    lessons.let_through()
    qtbot.waitUntil(lambda: not tuner.running, timeout=30_000)
    assert "is better" in tuner.status.text()
    store.delete("stack-lite")
    viewer.window.remove_dock_widget(around)
    viewer.layers.clear()
    around.deleteLater()
    del lessons.jobs[:], lessons.runs[:]
    notification_manager.records.clear()
    QApplication.processEvents()


def ours():
    """What `counts` does not know of."""
    return {
        "tuners": sum(type(o) is FineTuneWidget for o in gc.get_objects()),
        "choices": len(shared_choice._all),
    }


@pytest.mark.slow
def test_nothing_piles_up(qtbot, make_napari_viewer, lessons, stack):
    viewer = make_napari_viewer(show=True)
    for _ in range(WARM_UP):
        cycle(qtbot, viewer, lessons, stack)
    before = {**counts(viewer), **ours()}
    for _ in range(CYCLES):
        cycle(qtbot, viewer, lessons, stack)
    assert {**counts(viewer), **ours()} == before
