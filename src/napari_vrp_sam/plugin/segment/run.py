"""The run that segments a stack into a result layer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal

from napari_vrp_sam.inference.prediction.confidence import frame_confidence, least_confident
from napari_vrp_sam.inference.runs.events import (
    Cancelled,
    Done,
    Failed,
    FrameResult,
    Learned,
    Progress,
)
from napari_vrp_sam.plugin.segment.quality_panel import frame_number
from napari_vrp_sam.plugin.widgets.watched_run import WatchedRun, format_duration

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_vrp_sam.inference.runs.engine import Run
    from napari_vrp_sam.inference.runs.events import Event
    from napari_vrp_sam.plugin.layers.probabilities import ProbabilityLayers
    from napari_vrp_sam.plugin.layers.results import ResultLayer


class SegmentationRun(WatchedRun):
    """Write the frames of a run into the result layer; finished frames are always kept.

    Attributes
    ----------
    confidence : dict of int to float
        Mean expected IoU of the classes found on a frame, by frame index.
    """

    progressed = Signal(int, int, str)
    """Emits the number of finished frames, the number of all frames and a message."""
    written = Signal()
    """Emitted after frames were added to the result layer."""
    learned = Signal(object)  # PySide cannot pass a dict with int keys as dict
    """Emits a dict of `ClassCalibration` by class id."""
    failure_message = "The result could not be shown; finished frames are kept."

    def __init__(
        self,
        run: Run,
        result: ResultLayer,
        frame_count: int,
        parent: QWidget,
        probabilities: ProbabilityLayers | None = None,
    ) -> None:
        super().__init__(run, frame_count, "Segment stack", parent)
        self._result = result
        self._probabilities = probabilities
        self._clock: tuple[int, float] | None = None
        """Number of finished frames and time when the first frame was finished."""
        self._frame_count = frame_count
        self.confidence: dict[int, float] = {}

    def least_confident(self) -> tuple[str, float] | None:
        """Return the number and the confidence of the least confident of several frames."""
        lowest = least_confident(self.confidence) if len(self.confidence) > 1 else None
        if lowest is None:
            return None
        return frame_number(self._result.position(lowest.frame)), lowest.confidence

    def _handle_events(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Learned):
                self.learned.emit(event.calibrations)
        self._write([event for event in events if isinstance(event, FrameResult)])
        progress = [event for event in events if isinstance(event, Progress)]
        if progress:
            last = progress[-1]
            self.progressed.emit(last.done, last.total, last.message + self._time_left(last))
            self._advance(last)
        if events and not self._ended:
            self._handle_end(events[-1])

    def _write(self, results: list[FrameResult]) -> None:
        if not results:
            return
        for result in results:
            mean = frame_confidence(result.confidence.values())
            if mean is not None:
                self.confidence[result.index] = mean
        self._result.write([(r.index, r.labels) for r in results], self.confidence)
        probabilities = [(r.index, r.probabilities) for r in results if r.probabilities is not None]
        if probabilities and self._probabilities is not None:
            self._probabilities.write(probabilities)
        self.written.emit()

    def _time_left(self, progress: Progress) -> str:
        """Estimate the time left from the frames alone, without loading and learning."""
        if not progress.done:
            return ""
        now = time.monotonic()
        if self._clock is None:
            self._clock = progress.done, now
        done, start = self._clock
        left = progress.total - progress.done
        if progress.done == done or not left:
            return ""
        return f", about {format_duration((now - start) / (progress.done - done) * left)} left"

    def _handle_end(self, event: Event) -> None:
        done, total = self._result.frames_done, self._frame_count
        frames = f"{done} of {total} frames" if done < total else f"all {total} frames"
        match event:
            case Done():
                self._end("done", f"Segmented {frames} into '{self._result.name}'.")
            case Cancelled():
                self._end("cancelled", f"Cancelled: {frames} are kept.")
            case Failed():
                self._fail(event)

    def _stop(self) -> None:
        super()._stop()
        self._result.finish()
