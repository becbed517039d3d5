"""The search for objects as the window sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal

from napari_vrp_sam.inference.runs.events import Cancelled, Failed, ObjectsFound, Progress
from napari_vrp_sam.plugin.widgets.watched_run import WatchedRun

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_vrp_sam.inference.runs.engine import Run
    from napari_vrp_sam.inference.runs.events import Event


class ObjectsRun(WatchedRun):
    """Carries the events of an `ObjectsJob` to whoever shows the objects.

    Signals
    -------
    progressed : (message,)
    found : (objects,)
    ended : see `WatchedRun`; without a message where it is done
    """

    progressed = Signal(str)
    found = Signal(object)
    fault = "The objects could not be shown."

    def __init__(self, run: Run, parent: QWidget) -> None:
        super().__init__(run, 0, "Find objects", parent)

    def _take(self, events: list[Event]) -> None:
        progress = [event for event in events if isinstance(event, Progress)]
        if progress:
            last = progress[-1]
            self.progressed.emit(f"{last.message}…")
            self._bar.total = last.total
            self._advance(last)
        for event in events:
            if self._ended:
                return
            match event:
                case ObjectsFound(objects):
                    self._stop()
                    self.found.emit(objects)
                    self._end("done", "")
                case Cancelled():
                    self._end("cancelled", "Cancelled: no objects were found.")
                case Failed():
                    self._fail(event)
