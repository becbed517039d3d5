"""The search for objects as the window sees it: polled by a timer, on the GUI thread."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from napari.utils import cancelable_progress
from qtpy.QtCore import QObject, QTimer, Signal

from napari_vrp_sam.inference.engine import Cancelled, Failed, ObjectsFound, Progress

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_vrp_sam.inference.engine import Event, Run

logger = logging.getLogger(__name__)

POLL_MILLISECONDS = 50


class ObjectsRun(QObject):
    """Carries the events of an `ObjectsJob` to whoever shows the objects.

    Signals
    -------
    progressed : (message,)
    found : (objects,)
    ended : (outcome, message)
        The outcome is "done", "cancelled", "refused" (the user can mend it) or "failed" (a fault
        of ours); the message is one sentence, empty where it is done.
    """

    progressed = Signal(str)
    found = Signal(object)
    ended = Signal(str, str)

    def __init__(self, run: Run, parent: QWidget) -> None:
        super().__init__(parent)
        self._run = run
        self._bar = cancelable_progress(total=0, desc="Find objects")
        self._ended = False
        # Single shots: napari's progress bar processes events, and would call a running poll again.
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._poll)
        self._timer.start(POLL_MILLISECONDS)

    def cancel(self) -> None:
        """Ask the engine to stop; `ended` follows."""
        self._run.cancel()

    def abandon(self) -> None:
        """Stop at once and show nothing: the dock or the window is closing."""
        self._run.cancel()
        self._stop()

    def _poll(self) -> None:
        try:
            self._take(self._run.poll())
        except Exception:
            self.abandon()
            self.ended.emit("failed", "The objects could not be shown.")
            raise
        if self._ended:
            return
        if self._bar.is_canceled:  # in the activity dock
            self.cancel()
        self._timer.start(POLL_MILLISECONDS)

    def _take(self, events: list[Event]) -> None:
        progress = [event for event in events if isinstance(event, Progress)]
        if progress:
            last = progress[-1]
            self.progressed.emit(f"{last.message}…")
            self._bar.total = last.total
            self._bar.update(last.done - self._bar.n)  # processes events: anything may be clicked
        for event in events:
            if self._ended:
                return
            match event:
                case ObjectsFound(objects):
                    self._stop()
                    self.found.emit(objects)
                    self.ended.emit("done", "")
                case Cancelled():
                    self._end("cancelled", "Cancelled: no objects were found.")
                case Failed(message, ""):
                    self._end("refused", message)
                case Failed(message, traceback):
                    logger.error(traceback)
                    self._end("failed", message)

    def _end(self, outcome: str, message: str) -> None:
        self._stop()
        self.ended.emit(outcome, message)

    def _stop(self) -> None:
        self._ended = True
        self._timer.stop()
        self._bar.close()
