"""The segmentation of a stack as the window sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal

from napari_vrp_sam.inference.prediction.confidence import least_confident, of_frame
from napari_vrp_sam.inference.runs.events import (
    Cancelled,
    Done,
    Failed,
    FrameResult,
    Learned,
    Progress,
)
from napari_vrp_sam.plugin.widgets.watched_run import WatchedRun, format_duration

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_vrp_sam.inference.runs.engine import Run
    from napari_vrp_sam.inference.runs.events import Event
    from napari_vrp_sam.plugin.layers.probabilities import Probabilities
    from napari_vrp_sam.plugin.layers.results import Result


class SegmentationRun(WatchedRun):
    """Carries the events of a run into the result layer and napari's activity dock.

    Signals
    -------
    progressed : (done, total, message)
    written : ()
        More frames are in the result layer.
    learned : (choices,)
        `ClassCalibration` by class: how the result is put together and what to expect of it.
    ended : see `WatchedRun`; what is done is kept
    """

    progressed = Signal(int, int, str)
    written = Signal()
    learned = Signal(object)  # PySide would lose a dict with keys that are no strings
    fault = "The result could not be shown; what was finished is kept."

    def __init__(
        self,
        run: Run,
        result: Result,
        frame_count: int,
        parent: QWidget,
        probabilities: Probabilities | None = None,
    ) -> None:
        super().__init__(run, frame_count, "Segment stack", parent)
        self._result = result
        self._probabilities = probabilities
        self._first: tuple[int, float] | None = None
        """Frames that were done when the clock was started, and when that was."""
        self._frame_count = frame_count
        self.confidence: dict[int, float] = {}
        """Expected IoU of the frames that are done, the mean over the classes found on each."""

    def least_confident(self) -> tuple[str, float] | None:
        """The frame of the lowest confidence as the sliders number it, and its confidence."""
        lowest = least_confident(self.confidence) if len(self.confidence) > 1 else None
        if lowest is None:
            return None
        return ", ".join(map(str, self._result.position(lowest.frame))), lowest.confidence

    def _take(self, events: list[Event]) -> None:
        results = [event for event in events if isinstance(event, FrameResult)]
        for event in events:
            if isinstance(event, Learned):
                self.learned.emit(event.calibrations)
        for result in results:
            mean = of_frame(result.confidence.values())
            if mean is not None:
                self.confidence[result.index] = mean
        if results:
            self._result.write([(r.index, r.labels) for r in results], self.confidence)
            found = [(r.index, r.probabilities) for r in results if r.probabilities is not None]
            if found and self._probabilities is not None:
                self._probabilities.write(found)
            self.written.emit()
        progress = [event for event in events if isinstance(event, Progress)]
        if progress:
            last = progress[-1]
            message = last.message + self._time_left(last)
            self.progressed.emit(last.done, last.total, message)
            self._advance(last)
        if events and not self._ended:
            self._take_last(events[-1])

    def _time_left(self, progress: Progress) -> str:
        """Of the frames alone: loading and learning come once."""
        if not progress.done:
            return ""
        now = time.monotonic()
        if self._first is None:
            self._first = progress.done, now
        done, start = self._first
        left = progress.total - progress.done
        if progress.done == done or not left:
            return ""
        return f", about {format_duration((now - start) / (progress.done - done) * left)} left"

    def _take_last(self, event: Event) -> None:
        match event:
            case Done():
                self._end("done", f"Segmented {self._kept} into '{self._result.name}'.")
            case Cancelled():
                self._end("cancelled", f"Cancelled: {self._kept} are kept.")
            case Failed():
                self._fail(event)

    @property
    def _kept(self) -> str:
        done, total = self._result.frames_done, self._frame_count
        return f"{done} of {total} frames" if done < total else f"all {total} frames"

    def _stop(self) -> None:
        super()._stop()
        self._result.finish()
