"""Polling of a run that segments many files."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_vrp_sam.inference.runs.engine import Run
from napari_vrp_sam.inference.runs.events import Cancelled, Done, Event, Failed, Progress
from napari_vrp_sam.inference.runs.files.file_result import FileFinished, FileStarted
from napari_vrp_sam.plugin.widgets.background.watched_run import WatchedRun


class BatchRun(WatchedRun):
    """Emit the events of a `BatchJob` as signals.

    Signals
    -------
    started : (number, total, path)
        Number of the file, from 1.
    progressed : (progress,)
    finished : (result,)
    ended : see `WatchedRun`
    """

    started = Signal(int, int, object)
    progressed = Signal(object)
    finished = Signal(object)
    closing_message = (
        "Closing the window ends the run. Finished files are kept; start it again to segment the "
        "others."
    )
    failure_message = "The list of results could not be shown; the files were written."

    def __init__(self, run: Run, files: int, parent: QWidget) -> None:
        super().__init__(run, files, "Segment files", parent)

    def _handle_events(self, events: list[Event]) -> None:
        for event in events:
            if self._ended:
                return
            match event:
                case FileStarted(number, total, image):
                    self.started.emit(number, total, image)
                case Progress():
                    self.progressed.emit(event)
                case FileFinished(result):
                    self.finished.emit(result)
                    self._bar.update(1)
                case Done():
                    self._end("done", "")
                case Cancelled():
                    self._end("cancelled", "")
                case Failed():
                    self._fail(event)
