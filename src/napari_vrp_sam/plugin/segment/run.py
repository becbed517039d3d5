"""The run that segments a stack into a result layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal

from napari_vrp_sam.inference.prediction.confidence import frame_confidence
from napari_vrp_sam.inference.relabelling.levels import CompressedLevels
from napari_vrp_sam.inference.runs.events import (
    Cancelled,
    Done,
    Failed,
    FrameResult,
    Learned,
    Loaded,
    Progress,
    RunWarning,
)
from napari_vrp_sam.plugin.widgets.background.watched_run import WatchedRun

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Labels
    from qtpy.QtWidgets import QWidget

    from napari_vrp_sam.inference.runs.engine import Run
    from napari_vrp_sam.inference.runs.events import Event
    from napari_vrp_sam.io.sessions.unfinished.run import StoredFrame
    from napari_vrp_sam.models.calibration import ClassCalibration
    from napari_vrp_sam.plugin.layers.outputs.probabilities import ProbabilityLayers
    from napari_vrp_sam.plugin.layers.outputs.results import ResultLayer


class SegmentationRun(WatchedRun):
    """Write the frames of a run into the result layer; finished frames are always kept.

    Attributes
    ----------
    frame_count : int
        Number of frames of the result, with the accepted ones.
    confidence : dict of int to float
        Mean expected IoU of the classes found on a frame, by frame index.
    confidences : dict of int to dict
        Expected IoU of each class found on a frame, by frame index; without the frames that an
        interrupted run has finished.
    calibrations : dict of int to ClassCalibration
        Calibration of each class, once they are learned.
    """

    progressed = Signal(object)
    """Emits `Progress` events."""
    loaded = Signal(object)
    """Emits the `Loaded` event."""
    warned = Signal(str)
    """Emits the messages of `RunWarning`."""
    segmented = Signal(object)
    """Emits lists of `FrameResult` before they are added to the result layer."""
    written = Signal()
    """Emitted after frames were added to the result layer."""
    learned = Signal(object)  # PySide cannot pass a dict with int keys as dict
    """Emits a dict of `ClassCalibration` by class id."""
    closing_message = (
        "Closing the window ends the run. Its finished frames are kept, and the run can be resumed "
        "when the image is opened again."
    )
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
        self.frame_count = frame_count
        self.confidence: dict[int, float] = {}
        self.confidences: dict[int, dict[int, float]] = {}
        self.calibrations: dict[int, ClassCalibration] = {}

    @property
    def layer(self) -> Labels | None:
        """The result layer; None before the first frame."""
        return self._result.layer

    @property
    def frames_done(self) -> int:
        """Number of frames with a result."""
        return self._result.frames_done

    def show_earlier(self, frames: Mapping[int, StoredFrame]) -> None:
        """Add the frames that an interrupted run has finished to the result layer."""
        for index, frame in frames.items():
            if frame.confidence is not None:
                self.confidence[index] = frame.confidence
            if frame.levels is not None:
                self._result.keep(index, CompressedLevels(*frame.levels))
        self._result.write([(i, one.labels) for i, one in frames.items()], self.confidence)

    def _handle_events(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Learned):
                self.calibrations = event.calibrations
                self.learned.emit(event.calibrations)
            elif isinstance(event, Loaded):
                self.loaded.emit(event)
            elif isinstance(event, RunWarning):
                self.warned.emit(event.message)
        self._write([event for event in events if isinstance(event, FrameResult)])
        progress = [event for event in events if isinstance(event, Progress)]
        if progress:
            last = progress[-1]
            self.progressed.emit(last)
            self._advance(last)
        if events and not self._ended:
            self._handle_end(events[-1])

    def _write(self, results: list[FrameResult]) -> None:
        if not results:
            return
        self.segmented.emit(results)
        for result in results:
            self.confidences[result.index] = result.confidence
            mean = frame_confidence(result.confidence.values())
            if mean is not None:
                self.confidence[result.index] = mean
        self._result.write([(r.index, r.labels) for r in results], self.confidence)
        for result in results:
            if result.levels is not None:
                self._result.keep(result.index, result.levels)
        probabilities = [(r.index, r.probabilities) for r in results if r.probabilities is not None]
        if probabilities and self._probabilities is not None:
            self._probabilities.write(probabilities)
        self.written.emit()

    def _handle_end(self, event: Event) -> None:
        match event:
            case Done():
                self._end("done", "")
            case Cancelled():
                self._end("cancelled", "")
            case Failed():
                self._fail(event)

    def _stop(self) -> None:
        super()._stop()
        self._result.finish()
