"""Events of a fine-tuning run as Qt signals."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal

from napari_vrp_sam.fine_tuning.events import (
    Comparison,
    FineTuningResult,
    TrainingStep,
    Validation,
)
from napari_vrp_sam.fine_tuning.verdict import describe_step
from napari_vrp_sam.inference.runs.events import Cancelled, Done, Failed, Progress
from napari_vrp_sam.inference.runs.reporting import format_elapsed
from napari_vrp_sam.plugin.widgets.background.watched_run import WatchedRun
from napari_vrp_sam.plugin.widgets.wording import time_left

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_vrp_sam.inference.runs.engine import Run
    from napari_vrp_sam.inference.runs.events import Event


SHORT_STAGE = 3
"""Seconds after which the elapsed time of a stage is shown."""


class FineTuningRun(WatchedRun):
    """Run of a `FineTuneJob`.

    Signals
    -------
    reported : (message,)
    progressed : (last_step,)
        The last `TrainingStep`.
    trained : (steps, validations)
        New `TrainingStep` and `Validation` events, in order.
    compared : (comparison,)
    finished : (result,)
    ended : see `WatchedRun`
    """

    reported = Signal(str)
    progressed = Signal(object)
    trained = Signal(list, list)
    compared = Signal(object)
    finished = Signal(object)
    closing_message = (
        "Closing the window ends the training. Later, the tab Fine-tune offers to resume it from "
        "its last checkpoint."
    )
    failure_message = "The progress of the fine-tuning could not be shown."

    def __init__(self, run: Run, name: str, parent: QWidget) -> None:
        self._title = f"Fine-tune {name}"
        self._stage, self._stage_start, self._stage_seconds = "", 0.0, -1
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
                    self._stage, self._stage_seconds = message, -1
                    self._stage_start = time.monotonic()
                case TrainingStep() | Validation():
                    self._stage = ""
        if steps:
            self._show_step(steps[-1])
        self._show_stage()
        if events and not self._ended:
            self._handle_end(events[-1])

    def _show_stage(self) -> None:
        """Report what happens instead of training, with the elapsed time."""
        if not self._stage or self.paused:
            return
        seconds = round(time.monotonic() - self._stage_start)
        if seconds != self._stage_seconds:
            self._stage_seconds = seconds
            elapsed = f" ({format_elapsed(seconds)})" if seconds >= SHORT_STAGE else ""
            self.reported.emit(f"{self._stage}…{elapsed}")

    def _show_step(self, last: TrainingStep) -> None:
        if not self.paused and not self._stage:
            self.reported.emit(describe_step(last))
        self.progressed.emit(last)
        left = time_left(last.seconds_left)
        if left != self._time_left:  # each new description costs a layout of the dock
            self._time_left = left
            self._bar.set_description(f"{self._title}, {left}")
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
