"""Polling of a run that finds objects."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_vrp_sam.inference.runs.engine import Run
from napari_vrp_sam.inference.runs.events import (
    Cancelled,
    Event,
    Failed,
    ObjectsFound,
    Progress,
)
from napari_vrp_sam.plugin.widgets.background.watched_run import WatchedRun


class ObjectsRun(WatchedRun):
    """Emit the events of an `ObjectsJob` as signals.

    Signals
    -------
    progressed : (message,)
    found : (objects,)
    ended : see `WatchedRun`
        Without a message if the outcome is "done".
    """

    progressed = Signal(str)
    found = Signal(object)
    failure_message = "The objects could not be shown."

    def __init__(self, run: Run, parent: QWidget) -> None:
        super().__init__(run, 0, "Find objects", parent)

    def _handle_events(self, events: list[Event]) -> None:
        progress = [event for event in events if isinstance(event, Progress)]
        if progress:
            latest = progress[-1]
            self.progressed.emit(f"{latest.message}…")
            self._bar.total = latest.total
            self._advance(latest)
        for event in events:
            if self._ended:
                return
            match event:
                case ObjectsFound(objects):
                    self._stop()
                    self.found.emit(objects)
                    self._end("done", "")
                case Cancelled():
                    self._end("cancelled", "Cancelled: no objects were added.")
                case Failed():
                    self._fail(event)
