"""A run of the engine as the window sees it: polled by a timer, on the GUI thread."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from napari.utils import cancelable_progress
from qtpy.QtCore import QObject, QTimer, Signal

from napari_vrp_sam.inference.runs.events import Failed

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_vrp_sam.inference.runs.engine import Run
    from napari_vrp_sam.inference.runs.events import Event, Progress

logger = logging.getLogger(__name__)

POLL_MILLISECONDS = 50


def single_shot_timer(parent: QObject, milliseconds: int, slot: Callable[[], None]) -> QTimer:
    """A timer that has to be started again each time.

    napari's progress bar processes events, and would call a poll again that is still running.
    """
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(slot)
    return timer


class WatchedRun(QObject):
    """Takes the events of a run, and shows it in napari's activity dock, where it can be cancelled.

    Once it has ended it is deleted, and with it what it holds: the dock may see many runs.

    Signals
    -------
    ended : (outcome, message)
        The outcome is "done", "cancelled", "refused" (the user can mend it) or "failed" (a fault
        of ours); the message is one sentence, or empty.
    """

    ended = Signal(str, str)
    fault = ""
    """What to say where the events cannot be shown."""

    def __init__(self, run: Run, total: int, title: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._run = run
        self._bar = cancelable_progress(total=total, desc=title)
        self._ended = False
        self._timer = single_shot_timer(self, POLL_MILLISECONDS, self._poll)
        self._timer.start()

    def cancel(self) -> None:
        """Ask the engine to stop; `ended` follows."""
        self._run.cancel()

    def abandon(self) -> None:
        """Stop at once and touch no layer again: the dock or the window is closing."""
        self._run.cancel()
        if not self._ended:
            self._stop()
        self.deleteLater()

    @abstractmethod
    def _take(self, events: list[Event]) -> None:
        """Show what has come since the last time."""

    def _poll(self) -> None:
        try:
            self._take(self._run.poll())
        except Exception:
            self.abandon()
            self.ended.emit("failed", self.fault)
            raise
        if self._ended:
            return
        if self._bar.is_canceled:  # in the activity dock
            self.cancel()
        self._timer.start()

    def _advance(self, progress: Progress) -> None:
        """Move the bar; that processes events, so anything may be clicked meanwhile."""
        self._bar.update(progress.done - self._bar.n)

    def _fail(self, failure: Failed) -> None:
        if failure.detail:
            logger.error(failure.detail)
        self._end("failed" if failure.detail else "refused", failure.message)

    def _end(self, outcome: str, message: str) -> None:
        if not self._ended:
            self._stop()
        self.ended.emit(outcome, message)
        self.deleteLater()

    def _stop(self) -> None:
        self._ended = True
        self._timer.stop()
        self._bar.close()


def format_duration(seconds: float) -> str:
    """A time as one would say it: no more exact than it is known."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"{round(seconds, -1):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
