"""Events of a fine-tuning run as Qt signals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal

from napari_vrp_sam.fine_tuning.events import (
    Comparison,
    FineTuningResult,
    TrainingStep,
    Validation,
)
from napari_vrp_sam.inference.runs.events import Cancelled, Done, Failed, Progress
from napari_vrp_sam.plugin.widgets.watched_run import WatchedRun
from napari_vrp_sam.plugin.widgets.wording import format_duration

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_vrp_sam.inference.runs.engine import Run
    from napari_vrp_sam.inference.runs.events import Event


class FineTuningRun(WatchedRun):
    """Run of a `FineTuneJob`.

    Signals
    -------
    reported : (message,)
    progressed : (step, steps)
    trained : (steps, validations)
        New `TrainingStep` and `Validation` events, in order.
    compared : (comparison,)
    finished : (result,)
    ended : see `WatchedRun`
    """

    reported = Signal(str)
    progressed = Signal(int, int)
    trained = Signal(list, list)
    compared = Signal(object)
    finished = Signal(object)
    failure_message = "The progress of the fine-tuning could not be shown."

    def __init__(self, run: Run, name: str, parent: QWidget) -> None:
        self._title = f"Fine-tune {name}"
        super().__init__(run, 0, self._title, parent)
        self.paused = False
        self._time_left = ""

    def pause(self) -> None:
        """Pause after the current step; memory is not released."""
        self.paused = True
        self._run.pause()

    def resume(self) -> None:
        """Continue a paused run."""
        self.paused = False
        self._run.resume()

    def _handle_events(self, events: list[Event]) -> None:
        steps = [event for event in events if isinstance(event, TrainingStep)]
        validations = [event for event in events if isinstance(event, Validation)]
        if steps or validations:
            self.trained.emit(steps, validations)
        for event in events:
            match event:
                case Comparison():
                    self.compared.emit(event)
                case FineTuningResult():
                    self.finished.emit(event)
                case Progress(message=message):
                    self.reported.emit(f"{message}…")
        if steps:
            self._show_step(steps[-1])
        if events and not self._ended:
            self._handle_end(events[-1])

    def _show_step(self, last: TrainingStep) -> None:
        time_left = f"about {format_duration(last.seconds_left)} left"
        if not self.paused:
            self.reported.emit(f"Training: step {last.step}, {time_left}")
        self.progressed.emit(last.step, last.steps)
        if time_left != self._time_left:  # each new description costs a layout of the dock
            self._time_left = time_left
            self._bar.set_description(f"{self._title}, {time_left}")
        self._bar.total = last.steps  # an estimate that changes
        self._advance(Progress(last.step, last.steps, ""))

    def _handle_end(self, event: Event) -> None:
        match event:
            case Done():
                self._end("done", "")
            case Cancelled():
                self._end("cancelled", "Cancelled.")
            case Failed():
                self._fail(event)
