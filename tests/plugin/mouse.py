"""Real mouse and key events for a viewer under X11."""

import itertools
import shutil
import subprocess
import time

import numpy as np
from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QComboBox

PAUSE = 40
"""Milliseconds after each event, which the window must process before the next one."""


def wait_until(condition, timeout, reason=""):
    """Process events until a condition is true; the time limit is in seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"waited {timeout} s in vain: {reason or condition}"
        QTest.qWait(20)


class Mouse:
    """Mouse over a viewer; positions on the canvas are (row, column) of the image."""

    def __init__(self, viewer):
        assert shutil.which("xdotool"), "install xdotool: README.md lists what tests need"
        viewer = getattr(viewer, "__wrapped__", viewer)  # without the proxy for plugins
        self._canvas = viewer.window._qt_viewer.canvas

    def click(self, widget, point=None):
        """Click on the centre of a widget, or on another point of it."""
        self._xdotool("mousemove", *self._global(widget, point or widget.rect().center()))
        self._xdotool("click", 1)

    def click_tab(self, tabs, title):
        """Click on a tab of a QTabWidget."""
        bar = tabs.tabBar()
        titles = [bar.tabText(tab) for tab in range(bar.count())]
        self.click(bar, bar.tabRect(titles.index(title)).center())

    def choose(self, box: QComboBox, row):
        """Open a combo box, and choose a row with the keys and Return."""
        self.click(box)
        wait_until(box.view().isVisible, 10, "the list of a combo box")
        self._xdotool("key", "Home", *["Down"] * row, "Return")
        wait_until(lambda: box.currentIndex() == row, 10, f"row {row} of a combo box")

    def draw(self, *positions, steps=5):
        """Drag from the first position through the others."""
        path = [positions[0]]
        for start, end in itertools.pairwise(positions):
            path += [
                np.add(start, np.subtract(end, start) * (k / steps)) for k in range(1, steps + 1)
            ]
        self._move(path[0])
        self._xdotool("mousedown", 1)
        for position in path[1:]:
            self._move(position)
        self._xdotool("mouseup", 1)

    def click_at(self, position):
        """Click on the canvas."""
        self._move(position)
        self._xdotool("click", 1)

    def scroll(self, steps):
        """Scroll through the frames: turn the wheel with Ctrl pressed."""
        self._move((100, 100))
        self._xdotool("keydown", "ctrl", "click", "--repeat", steps, "--delay", 60, 5)
        self._xdotool("keyup", "ctrl")

    def key(self, name):
        """Press a key over the canvas."""
        self._move((100, 100))
        self._xdotool("key", name)

    def _move(self, position):
        row, column = position
        x, y = self._canvas.view.scene.transform.map([column, row, 0, 1])[:2]
        point = QPoint(round(float(x)), round(float(y)))
        self._xdotool("mousemove", *self._global(self._canvas.native, point))

    def _global(self, widget, point):
        at = widget.mapToGlobal(point)
        return at.x(), at.y()

    def _xdotool(self, *arguments):
        with subprocess.Popen(["xdotool", *map(str, arguments)]) as process:
            # The window must process each event, or Qt would merge them.
            wait_until(lambda: process.poll() is not None, 20, "xdotool")
        assert process.returncode == 0
        QTest.qWait(PAUSE)
