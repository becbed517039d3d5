"""The mouse of the tests: menus and file dialogs whose focus or position changes."""

import sys

import numpy as np
import pytest
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QApplication, QFileDialog
from tests.plugin.mouse import Mouse
from tests.plugin.window import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="xdotool moves the mouse of X11"),
]


class FocusThief(QObject):
    """Take the focus from each file dialog once, as a window manager or another window may."""

    def __init__(self, window):
        super().__init__(window)
        self._window = window
        self._robbed = []
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._rob)
        self._timer.start(20)

    def _rob(self):
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, QFileDialog) and dialog not in self._robbed:
            field = dialog.focusWidget()
            if field is not None and field.hasFocus():
                field.clearFocus()
                self._robbed.append(dialog)


def test_a_file_dialog_that_loses_the_focus_does_not_stand_still(
    qtbot, viewer, dock, engine, annotated, tmp_path
):
    run(qtbot, dock, engine)
    thief = FocusThief(dock.window())
    for name in ("one.tif", "two.tif"):
        dock.scroll.ensureWidgetVisible(dock.export_button)
        qtbot.wait(300)
        Mouse(viewer).click_entry(dock.export_button, "Labels…", tmp_path / name)
        path = tmp_path / name
        qtbot.waitUntil(lambda n=name: dock.status.text() == f"Saved {n}.", timeout=60_000)
        assert np.asarray(path.stat().st_size) > 0
    assert len(thief._robbed) == 2
