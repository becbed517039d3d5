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
DIALOG_SECONDS = 60
"""Time limit of a menu and its dialog, which have event loops of their own."""
TICKS_BEFORE_REPETITION = 10
"""Ticks of 200 ms after which an action without effect is repeated."""


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
        self._canvas = viewer.window._qt_viewer.canvas

    def click(self, widget, point=None):
        """Click on the centre of a widget, or on another point of it."""
        self._xdotool("mousemove", *on_screen(widget, point or widget.rect().center()))
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

        self._xdotool("mousemove", *on_screen(slider, place(slider.value())))
        self._xdotool("mousedown", 1)
        for shown in np.linspace(slider.value(), value, 6)[1:]:
            self._xdotool("mousemove", *on_screen(slider, place(round(shown))))
        self._xdotool("mouseup", 1)

    def type_into(self, box, text):
        """Replace the text of a spin box, and press Return."""
        self.click(box)
        self._xdotool("key", "ctrl+a")
        self._xdotool("type", text)
        self._xdotool("key", "Return")

    def click_entry(self, button, text, path=None):
        """Open the menu of a button, click an entry, and type a path into the file dialog.

        Menu and dialog have event loops of their own, in which only a timer is called. An action
        without effect is repeated: the entry may have moved, or the dialog may have no focus.
        """

        steps = EntrySteps(text, path)
        self.click(button)
        wait_until(lambda: steps.done, DIALOG_SECONDS, f"{text} in a menu")
        steps.stop()

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
        self._xdotool("mousemove", *on_screen(self._canvas.native, point))

    def _xdotool(self, *arguments):
        with subprocess.Popen(["xdotool", *map(str, arguments)]) as process:
            # The window must process each event, or Qt would merge them.
            wait_until(lambda: process.poll() is not None, 20, "xdotool")
        assert process.returncode == 0
        QTest.qWait(PAUSE)


class EntrySteps:
    """Clicks and keys for an entry of an open menu and for its file dialog, from a timer.

    Menu and dialog have event loops of their own. An action without effect is repeated, and at the
    time limit both are closed, so that a test fails instead of standing still.
    """

    def __init__(self, text, path):
        self._text, self._path = text, path
        self._end = time.monotonic() + DIALOG_SECONDS
        self._xdotool = None
        self._ticks = 0  # since the action
        # Each action with its effect.
        self._pairs = [(self._click, lambda: QApplication.activePopupWidget() is None)]
        if path is not None:
            self._pairs += [(self._type, self._typed), (self._accept, lambda: not _dialog())]
        self._timer = QTimer()
        self._timer.timeout.connect(self._step)
        self._timer.start(200)

    @property
    def done(self):
        return not self._pairs

    def stop(self):
        self._timer.stop()

    def _step(self):
        if self.done or (self._xdotool is not None and self._xdotool.poll() is None):
            return
        if time.monotonic() > self._end:
            for widget in filter(None, (QApplication.activePopupWidget(), _dialog())):
                widget.close()
            return
        act, has_effect = self._pairs[0]
        if self._ticks and has_effect():
            self._pairs.pop(0)
            self._ticks = 0
        elif self._ticks:
            self._ticks = (self._ticks + 1) % TICKS_BEFORE_REPETITION
        else:
            self._ticks = int(act())

    def _click(self):
        menu = QApplication.activePopupWidget()
        entries = [entry for entry in menu.actions() if entry.text() == self._text] if menu else []
        if entries:
            at = on_screen(menu, menu.actionGeometry(entries[0]).center())
            self._start("mousemove", *at, "sleep", 0.2, "click", 1)
        return bool(entries)

    def _type(self):
        dialog = _dialog()
        if dialog is None:
            return False
        field = _name_field(dialog)
        if not field.hasFocus():  # keys would be lost
            # Without a window manager, another window may get the focus back.
            dialog.activateWindow()
            field.setFocus()
            return False
        at = on_screen(dialog, QPoint(dialog.width() // 2, 5))
        self._start("mousemove", *at, "key", "ctrl+a", "type", self._path)
        return True

    def _typed(self):
        dialog = _dialog()
        return dialog is not None and _name_field(dialog).text() == str(self._path)

    def _accept(self):
        self._start("key", "Return")
        return True

    def _start(self, *arguments):
        self._xdotool = subprocess.Popen(["xdotool", *map(str, arguments)])


def on_screen(widget, point):
    """Return the position of a point of a widget on the screen."""
    at = widget.mapToGlobal(point)
    return at.x(), at.y()


def _dialog():
    """Return the file dialog that is open, or None."""
    widget = QApplication.activeModalWidget()
    return widget if isinstance(widget, QFileDialog) else None
