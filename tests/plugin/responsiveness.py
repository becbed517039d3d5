"""Checks that the GUI thread does not wait for a run, and does not read the stack for it."""

import sys
import threading

from qtpy.QtCore import QTimer


class RecordedStack:
    """Array that records the threads in which the plugin reads frames; napari may read anywhere."""

    def __init__(self, data):
        self._data = data
        self.shape, self.dtype, self.ndim, self.size = data.shape, data.dtype, data.ndim, data.size
        self.threads = []

    def __getitem__(self, selection):
        caller = sys._getframe(1).f_globals["__name__"]
        if caller.startswith("napari_vrp_sam."):
            self.threads.append(threading.current_thread())
        return self._data[selection]

    def __array__(self, dtype=None, copy=None):
        return self._data.astype(dtype or self.dtype)


class TickCounter:
    """Count the events of a timer, which the event loop can only process between other events."""

    def __init__(self, parent):
        self.ticks = 0
        self._timer = QTimer(parent)
        self._timer.timeout.connect(self._count)
        self._timer.start(10)

    def _count(self):
        self.ticks += 1
