"""The half hour of a user, with real mouse events and the real model in its worker process."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint
from tests.plugin.fitting import misfits
from tests.plugin.halfhour import steps
from tests.plugin.halfhour.play import Play, in_view, set_size
from tests.plugin.mouse import Mouse, wait_until
from tests.plugin.window import results

from napari_vrp_sam.plugin.layers.outputs.accepted import accepted_frames

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="xdotool moves the mouse of X11"),
]

SCREENSHOTS = os.environ.get("VRP_SAM_SCREENSHOTS")
"""Folder for screenshots; none by default."""


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_half_hour(qtbot, make_napari_viewer, tmp_path, monkeypatch):
    monkeypatch.setenv("VRP_SAM_MODELS", str(tmp_path / "models"))
    play = Play(make_napari_viewer(show=True), tmp_path)
    play.look()
    for number, step in enumerate(steps.STEPS, start=1):
        step(play)
        if step is not steps.close_during_a_run:
            play.look()
        if step is steps.accept:
            assert play.scrolled_to == [], "the controls up to Accept do not fit"
        if SCREENSHOTS:
            qtbot.wait(1000)
            name = f"{number}-{step.__name__.replace('_', '-')}.png"
            play.viewer.window.screenshot(str(Path(SCREENSHOTS) / name), flash=False)


def test_the_short_path(qtbot, viewer, dock, engine, stack):
    """Open, draw, preview, run, accept and undo on a small stack, with a model that is quick."""
    set_size(dock.window(), dock.parentWidget())
    mouse = Mouse(viewer)
    data, truth = stack
    viewer.add_image(data, name="stack")
    viewer.dims.set_current_step(0, 3)
    engine.let_through()

    def click(button):
        qtbot.wait(100)  # for the layout
        scrolled = dock.scroll.widget().isAncestorOf(button)  # others are always in view
        assert in_view(button, dock.scroll) or not scrolled
        assert button.isEnabled()
        mouse.click(button)

    qtbot.wait(300)  # for the layout, from which the buttons of an empty panel disappear
    mouse.click(dock.preview_box, QPoint(10, dock.preview_box.height() // 2))
    assert dock.preview_box.isChecked()
    click(dock.form.draw_buttons["mask"])
    viewer.reset_view()
    viewer.layers["masks"].brush_size = 5
    mouse.draw((17, 9), (21, 15), steps=3)
    drawn = viewer.layers["masks"].data
    assert truth[drawn > 0].tolist() == [1] * np.count_nonzero(drawn)
    assert np.count_nonzero(drawn) > 20
    wait_until(lambda: dock.preview_box.state.phase == "up to date", 60, "the live preview")
    np.testing.assert_array_equal(viewer.layers["stack preview"].data[3] > 0, truth[3] == 1)
    assert dock.status.text().startswith("Ready")

    click(dock.segment_button)
    wait_until(lambda: results(viewer) and not dock.running, 60, "the run")
    assert "Segmented all 7 frames into 'stack segmented'" in dock.status.text()
    assert "stack preview" not in viewer.layers
    (result,) = results(viewer)
    np.testing.assert_array_equal(result.data > 0, truth == 1)

    click(dock.accept_button)
    assert accepted_frames(result) == [3]
    assert dock.accept_button.text() == "Unaccept frame 3"
    click(dock.undo_buttons.undo_button)
    assert accepted_frames(result) == []
    assert dock.status.text() == "Undone: accept frame 3."
    click(dock.undo_buttons.undo_button)
    assert results(viewer) == []
    assert dock.form.image == viewer.layers["stack"]
    assert misfits(dock, dock.scroll) == []
