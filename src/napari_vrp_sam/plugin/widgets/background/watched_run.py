"""Polling of an engine's run on the GUI thread."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
    """Create a timer that must be restarted after each timeout.

    napari's progress bar processes Qt events, so a repeating timer could re-enter its own slot.
    """
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(slot)
    return timer


def register_task(window: QWidget, text: str) -> Callable[[], None]:
    """Let napari name a task when the user closes the window; return a function that ends it.

    Does nothing in versions of napari that do not ask, or in other windows.
    """
    owner: Any = getattr(window, "_window", None)
    if not hasattr(owner, "_register_task_status"):
        return lambda: None
    from napari.utils.task_status import Status

    # napari has no public function for this: it is part of its `create_worker`.
    task = owner._register_task_status("VRP-SAM", Status.BUSY, text)  # noqa: SLF001
    return lambda: owner._update_task_status(task, Status.COMPLETED)  # noqa: SLF001


class WatchedRun(QObject):
    """Poll the events of a run and show it in napari's activity dock, where it can be cancelled.

    The object deletes itself when the run has ended.
    """

    ended = Signal(str, str)
    """Emits the outcome and a message of at most one sentence.

    Outcomes: "done", "cancelled", "refused" (an error that the user can fix), "failed" (a bug).
    """
    failure_message = ""
    """Message if the events cannot be shown."""
    closing_message = ""
    """Effect of closing the window on the run, for napari's question."""

    def __init__(self, run: Run, total: int, title: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._run = run
        self._bar = cancelable_progress(total=total, desc=title)
        self._end_task = register_task(parent.window(), f"{title}. {self.closing_message}")
        self._ended = False
        self._timer = single_shot_timer(self, POLL_MILLISECONDS, self._poll)
        self._timer.start()

    def cancel(self) -> None:
        """Request cancellation; `ended` is emitted later."""
        self._run.cancel()

    def abandon(self) -> None:
        """Stop immediately and do not touch any layer again, because the dock is closing."""
        self._run.cancel()
        if not self._ended:
            self._stop()
        self.deleteLater()

    @abstractmethod
    def _handle_events(self, events: list[Event]) -> None:
        """Handle the events since the last poll."""

    def _poll(self) -> None:
        try:
            self._handle_events(self._run.poll())
        except Exception:
            self.abandon()
            self.ended.emit("failed", self.failure_message)
            raise
        if self._ended:
            return
        if self._bar.is_canceled:
            self.cancel()
        self._timer.start()

    def _advance(self, progress: Progress) -> None:
        """Update the progress bar; this processes Qt events."""
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
        self._end_task()
        self._bar.close()
