"""A fine-tuning as the window sees it."""

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
from napari_vrp_sam.plugin.widgets.watched_run import WatchedRun, format_duration

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_vrp_sam.inference.runs.engine import Run
    from napari_vrp_sam.inference.runs.events import Event


class FineTuningRun(WatchedRun):
    """Carries the events of a `FineTuneJob` to whoever shows them.

    Signals
    -------
    reported : (message,)
        What is being done.
    progressed : (step, steps)
    learned : (steps, validations)
        `TrainingStep` and `Validation` that are new, in their order.
    compared : (comparison,)
    tuned : (result,)
    ended : see `WatchedRun`; without a message where it is done
    """

    reported = Signal(str)
    progressed = Signal(int, int)
    learned = Signal(list, list)
    compared = Signal(object)
    tuned = Signal(object)
    fault = "The course of the fine-tuning could not be shown."

    def __init__(self, run: Run, name: str, parent: QWidget) -> None:
        self._title = f"Fine-tune {name}"
        super().__init__(run, 0, self._title, parent)
        self.paused = False
        self._left = ""

    def pause(self) -> None:
        """Let it wait after the step that is under way; its memory stays taken."""
        self.paused = True
        self._run.pause()

    def resume(self) -> None:
        """Let it go on."""
        self.paused = False
        self._run.resume()

    def _take(self, events: list[Event]) -> None:
        steps = [event for event in events if isinstance(event, TrainingStep)]
        validations = [event for event in events if isinstance(event, Validation)]
        if steps or validations:
            self.learned.emit(steps, validations)
        for event in events:
            match event:
                case Comparison():
                    self.compared.emit(event)
                case FineTuningResult():
                    self.tuned.emit(event)
                case Progress(message=message):
                    self.reported.emit(f"{message}…")
        if steps:
            self._show_step(steps[-1])
        if events and not self._ended:
            self._take_last(events[-1])

    def _show_step(self, last: TrainingStep) -> None:
        left = f"about {format_duration(last.seconds_left)} left"
        if not self.paused:
            self.reported.emit(f"Learning: step {last.step}, {left}")
        self.progressed.emit(last.step, last.steps)
        if left != self._left:  # each change makes the activity dock lay itself out
            self._left = left
            self._bar.set_description(f"{self._title}, {left}")
        # How many there will be in the time is known better with every step.
        self._bar.total = last.steps
        self._advance(Progress(last.step, last.steps, ""))

    def _take_last(self, event: Event) -> None:
        match event:
            case Done():
                self._end("done", "")
            case Cancelled():
                self._end("cancelled", "Cancelled.")
            case Failed():
                self._fail(event)
