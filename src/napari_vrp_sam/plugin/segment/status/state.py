"""State of the panel *Segment stack*, without Qt: all changes go through its methods.

`PanelState` is immutable; each method returns the state after an event. What the panel shows
follows from the state alone: see `panel_view.view`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from napari_vrp_sam.inference.runs.events import Progress, Stage
from napari_vrp_sam.plugin.segment.status.run_state import Outcome, Quality, RunEnd, RunState

if TYPE_CHECKING:
    from napari_vrp_sam.inference.runs.process.worker_process import WorkerState
    from napari_vrp_sam.plugin.widgets.controls import Severity

Topic = Literal["inputs", "run", "result", "objects", "session", "action", "undo", "view"]
"""Subject of a notice, which disappears when its subject changes."""

Phase = Literal["empty", "needs annotation", "ready", "cancelling", "done", "cancelled", "failed"]


@dataclass(frozen=True)
class Notice:
    """Message on something that has happened.

    Attributes
    ----------
    text : str
    severity : {"info", "warning", "error"}
    topic : Topic
    time : float
        Seconds on the clock of the panel.
    """

    text: str
    _: KW_ONLY
    severity: Severity = "info"
    topic: Topic = "action"
    time: float = 0.0


@dataclass(frozen=True)
class PanelState:
    """State of the panel.

    Attributes
    ----------
    image, annotated : bool
        True if an image is chosen, and if annotations of it are ticked.
    run : RunState, optional
        The run in progress.
    end : RunEnd, optional
        End of the last run.
    notice : Notice, optional
        The last message, as long as it is true.
    quality : Quality
        Quality of the current result of the chosen image.
    layers : mapping of hashable to str
        Names of the layers of the viewer.
    device : str
        Name of the device that the last model was loaded on.
    worker : {"stopped", "starting", "ready", "busy"}, optional
        State of the worker process, if there is one.
    incomplete : str
        Warning that a mask seems to be incomplete; empty if none does.
    objects : Notice, optional
        The last message on objects, which follows the message on the result that they are in.
    view_problem, preview_problem : str
        Why the frame in view cannot be drawn on, or has no preview; empty if it can, or has.
    outdated : bool
        True if the result has changed since its objects were found.
    unfinished : str
        Sentence on an interrupted run of the image, which can be resumed; empty without one.
    """

    image: bool = False
    annotated: bool = False
    run: RunState | None = None
    end: RunEnd | None = None
    notice: Notice | None = None
    quality: Quality = field(default_factory=Quality)
    layers: Mapping[Hashable, str] = field(default_factory=dict)
    device: str = ""
    worker: WorkerState | None = None
    incomplete: str = ""
    objects: Notice | None = None
    view_problem: str = ""
    preview_problem: str = ""
    outdated: bool = False
    unfinished: str = ""

    @property
    def phase(self) -> Phase | Stage:
        """The one phase that the panel is in; during a run, its stage."""
        if self.run is not None:
            return "cancelling" if self.run.cancelling else self.run.progress.stage
        if self.end is not None:
            outcomes: dict[Outcome, Phase] = {"done": "done", "cancelled": "cancelled"}
            return outcomes.get(self.end.outcome, "failed")
        if not self.image:
            return "empty"
        return "ready" if self.annotated else "needs annotation"

    def image_chosen(self, *, image: bool) -> PanelState:
        """Return the state after the choice of another image, or of none, without old messages."""
        state = self._without("inputs", "run", "result", "objects", "action", "undo", "view")
        return replace(state, image=image, end=None, quality=Quality(), incomplete="")

    def inputs_changed(self, *, image: bool, annotated: bool) -> PanelState:
        """Return the state after a change of annotations or settings, without errors about them."""
        state = self._without("inputs")
        refused = state.end is not None and state.end.outcome == "refused"
        return replace(state, image=image, annotated=annotated, end=None if refused else state.end)

    def edited(self) -> PanelState:
        """Return the state after an edit by the user, without a message on undo or redo."""
        return self._without("undo")

    def view_changed(self, problem: str, *, moved: bool = False) -> PanelState:
        """Return the state after a change of the view, which may show nothing to draw on."""
        return replace(self._without("view") if moved else self, view_problem=problem)

    def previewed(self, problem: str) -> PanelState:
        """Return the state after the preview was shown, or failed for this reason."""
        return replace(self, preview_problem=problem)

    def objects_checked(self, *, outdated: bool) -> PanelState:
        """Return the state after the objects were compared with the result."""
        return replace(self, outdated=outdated)

    def unfinished_found(self, text: str) -> PanelState:
        """Return the state after an interrupted run of the image was found, or is gone."""
        return replace(self, unfinished=text)

    def result_changed(self, quality: Quality) -> PanelState:
        """Return the state after a change of the current result or its quality."""
        return replace(self, quality=quality)

    def layers_changed(self, layers: Mapping[Hashable, str]) -> PanelState:
        """Return the state after layers were added, removed or renamed."""
        removed = bool(self.layers.keys() - layers.keys())
        state = self._without("result", "objects", "action", "undo", "view") if removed else self
        end = self.end
        if end is not None and end.layer is not None and end.layer not in layers:
            end = None
        return replace(state, layers=dict(layers), end=end)

    def noticed(self, notice: Notice) -> PanelState:
        """Return the state with a notice, which replaces the message about the end of a run."""
        if notice.topic == "objects":
            kept = self.notice is not None and self.notice.topic == "result"
            return replace(self, notice=self.notice if kept else None, objects=notice)
        return replace(self, notice=notice, end=None, objects=None)

    def started(self, total: int, now: float) -> PanelState:
        """Return the state after the start of a run, without old messages."""
        run = RunState(Progress(0, total, "Starting", "starting"), now, now)
        return replace(self, run=run, end=None, notice=None, objects=None)

    def progressed(self, progress: Progress, now: float) -> PanelState:
        """Return the state after progress of the run, which may be ending."""
        if self.run is None:
            return self
        return replace(self, run=self.run.progressed(progress, now))

    def warned(self, text: str, now: float) -> PanelState:
        """Return the state after a warning of the run, which is shown again at its end."""
        notice = Notice(text, severity="warning", topic="run", time=now)
        return replace(self.noticed(notice), run=self.run and replace(self.run, warning=text))

    def learned(self, quality: Quality) -> PanelState:
        """Return the state after the run has learned the annotations."""
        return self if self.run is None else replace(self, run=replace(self.run, quality=quality))

    def loaded(self, device: str) -> PanelState:
        """Return the state after the model was loaded on a device."""
        return replace(self, device=device)

    def cancelling(self, now: float) -> PanelState:
        """Return the state after the user has cancelled the run, which ends after this step."""
        if self.run is None or self.run.cancelling:
            return self
        return replace(self, run=replace(self.run, cancelling=True, stage_started=now), notice=None)

    def ended(self, end: RunEnd) -> PanelState:
        """Return the state after the end of the run."""
        if self.run is not None:
            end = replace(end, progress=self.run.progress, warning=self.run.warning)
        return replace(self, run=None, end=end, notice=None, objects=None)

    def worker_changed(self, worker: WorkerState | None) -> PanelState:
        """Return the state after a change of the worker process."""
        return replace(self, worker=worker)

    def mask_doubted(self, warning: str) -> PanelState:
        """Return the state after a warning of an incomplete mask, or without one."""
        return replace(self, incomplete=warning)

    def _without(self, *topics: Topic) -> PanelState:
        gone = self.notice is not None and self.notice.topic in topics
        return replace(
            self,
            notice=None if gone else self.notice,
            objects=None if "objects" in topics else self.objects,
        )
