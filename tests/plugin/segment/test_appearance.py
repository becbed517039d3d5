"""The dock with other themes and screen scales, and its accessibility."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QLabel
from tests.plugin.fitting import misfits

from napari_vrp_sam.plugin.widgets.focus.keyboard import visible_controls

WIDTH = 300


def fill(viewer, dock):
    """Show as many controls as possible."""
    names = ["DAPI", "Alexa Fluor 488", "mCherry", "bright field"]
    viewer.add_image(
        np.random.default_rng(0).integers(0, 255, (5, 4, 64, 64)).astype(np.uint8),
        name="an image whose name is a good deal longer than the dock is wide",
        axis_labels=("z", "c", "y", "x"),
        metadata={"channel_names": names},
    )
    for button in dock.form.draw_buttons.values():
        button.click()
    dock.form.channel_box.choose(range(4))
    dock.status.show_message("Some long sentence that has to be wrapped because it is long. " * 2)


def set_width(viewer, dock):
    frame = dock.parentWidget()
    dock.window().resizeDocks([frame], [WIDTH], Qt.Orientation.Horizontal)


def cut_off(dock):
    """Return the controls whose text or frame does not fit."""
    return misfits(dock, dock.scroll)


def accessible_name(control):
    """Return what a screen reader announces: the accessible name, the text or the label."""
    labels = [label for label in control.window().findChildren(QLabel) if label.buddy() is control]
    text = control.text() if isinstance(control, QAbstractButton) else ""
    return control.accessibleName() or text or "".join(label.text() for label in labels)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_no_control_is_cut_off_at_300_pixels(qtbot, viewer, dock, theme):
    def check():
        set_width(viewer, dock)
        assert dock.width() <= WIDTH
        assert cut_off(dock) == []

    viewer.theme = theme
    fill(viewer, dock)
    qtbot.waitUntil(check, timeout=30_000)
    dock.tour.start()
    qtbot.waitUntil(check, timeout=30_000)
    dock.tour.end()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the screen of Xvfb is as large as asked for")
def test_no_control_is_cut_off_at_200_percent_scale(tmp_path):
    """Use another process, because Qt fixes the scale at its start."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", __file__],
        env={
            **os.environ,
            "QT_SCALE_FACTOR": "2",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "NAPARI_CONFIG": str(tmp_path / "settings.yaml"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_every_control_has_an_accessible_name_and_a_tooltip(qtbot, viewer, dock, engine, annotated):
    viewer.add_points([[1, 4, 4]], name="points")
    engine.let_through()
    dock.segment_button.click()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    dock.tour.start()
    controls = list(visible_controls(dock))
    assert len(controls) > 15
    for control in controls:
        assert accessible_name(control), control
        assert control.toolTip(), control
        assert control.accessibleDescription(), control
    dock.tour.end()


if __name__ == "__main__":
    import napari
    from qtpy.QtTest import QTest

    from napari_vrp_sam.inference.runs.engine import ThreadEngine
    from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget

    viewer = napari.Viewer()
    dock = SegmentStackWidget(viewer, ThreadEngine())
    viewer.window.add_dock_widget(dock)
    fill(viewer, dock)
    set_width(viewer, dock)
    for _ in range(100):  # until the layout is final
        QTest.qWait(100)
        if dock.width() <= WIDTH and not cut_off(dock):
            break
    picture = os.environ.get("VRP_SAM_SCREENSHOTS")
    if picture:
        dock.window().grab().save(str(Path(picture) / "scaled.png"))
    assert dock.devicePixelRatioF() == 2
    assert dock.width() <= WIDTH
    assert cut_off(dock) == []
    viewer.close()
