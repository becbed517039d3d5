"""Real mouse and key events for a viewer under X11."""

import itertools
import shutil
import subprocess
import time

import numpy as np
from qtpy.QtCore import QPoint, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QFileDialog,
    QLineEdit,
    QStyle,
    QStyleOptionSlider,
)

PAUSE = 40
"""Milliseconds after each event, which the window must process before the next one."""


def wait_until(condition, timeout, reason=""):
    """Process events until a condition is true; the time limit is in seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"waited {timeout} s in vain: {reason or condition}"
        QTest.qWait(20)


def _name_field(dialog):
    """Return the field of a file dialog that contains the name."""
    return dialog.findChild(QLineEdit, "fileNameEdit")


class Mouse:
    """Mouse over a viewer; positions on the canvas are (row, column) of the image."""

    def __init__(self, viewer):
        assert shutil.which("xdotool"), "install xdotool: README.md lists what tests need"
        viewer = getattr(viewer, "__wrapped__", viewer)  # without the proxy for plugins
        self._started = []
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

    def slide(self, slider, value):
        """Drag the handle of a horizontal slider to a value."""

        def place(shown):
            option = QStyleOptionSlider()
            slider.initStyleOption(option)
            option.sliderPosition = shown
            control, part = QStyle.ComplexControl.CC_Slider, QStyle.SubControl.SC_SliderHandle
            return slider.style().subControlRect(control, option, part, slider).center()

        self._xdotool("mousemove", *self._global(slider, place(slider.value())))
        self._xdotool("mousedown", 1)
        for shown in np.linspace(slider.value(), value, 6)[1:]:
            self._xdotool("mousemove", *self._global(slider, place(round(shown))))
        self._xdotool("mouseup", 1)

    def type_into(self, box, text):
        """Replace the text of a spin box, and press Return."""
        self.click(box)
        self._xdotool("key", "ctrl+a")
        self._xdotool("type", text)
        self._xdotool("key", "Return")

    def click_entry(self, button, text, path=None):
        """Open the menu of a button, click an entry, and type a path into the file dialog.

        Menu and dialog have event loops of their own, in which only a timer is called.
        """

        def click():
            menu = QApplication.activePopupWidget()
            entries = [entry for entry in menu.actions() if entry.text() == text] if menu else []
            if entries:
                at = self._global(menu, menu.actionGeometry(entries[0]).center())
                self._start("mousemove", *at, "sleep", 0.2, "click", 1)
            return bool(entries)

        def type_path():
            dialog = QApplication.activeModalWidget()
            # Keys that arrive before the field has the focus are lost.
            if not isinstance(dialog, QFileDialog) or not _name_field(dialog).hasFocus():
                return False
            at = self._global(dialog, QPoint(dialog.width() // 2, 5))
            self._start("mousemove", *at, "key", "ctrl+a", "type", path)
            return True

        def accept():
            typed = _name_field(QApplication.activeModalWidget()).text() == str(path)
            if typed:
                self._start("key", "Return")
            return typed

        steps = [click] if path is None else [click, type_path, accept]
        timer = QTimer()
        timer.timeout.connect(lambda: steps and steps[0]() and steps.pop(0))
        timer.start(200)
        self.click(button)
        wait_until(lambda: not steps, 30, f"{text} in a menu")
        timer.stop()
        for process in self._started:
            process.wait()
        self._started.clear()

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

    def _start(self, *arguments):
        """Start xdotool without waiting for it."""
        self._started.append(subprocess.Popen(["xdotool", *map(str, arguments)]))

    def _xdotool(self, *arguments):
        with subprocess.Popen(["xdotool", *map(str, arguments)]) as process:
            # The window must process each event, or Qt would merge them.
            wait_until(lambda: process.poll() is not None, 20, "xdotool")
        assert process.returncode == 0
        QTest.qWait(PAUSE)
