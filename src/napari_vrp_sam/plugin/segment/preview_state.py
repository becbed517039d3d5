"""State machine of the live preview, without Qt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari_vrp_sam.inference.runs.events import Stage

PreviewPhase = Literal[
    "off",
    "waiting",
    "undrawn",
    "loading",
    "busy",
    "refining",
    "up to date",
    "out of date",
    "failed",
]

TEXTS: dict[PreviewPhase, str] = {
    "off": "",
    "waiting": "",
    "undrawn": "nothing drawn yet",
    "loading": "loading the model…",
    "busy": "updating…",
    "refining": "refining…",
    "up to date": "up to date",
    "out of date": "out of date",
    "failed": "not available",
}


@dataclass(frozen=True)
class PreviewState:
    """State of the live preview, with a method for each event that returns the next state.

    Attributes
    ----------
    phase : PreviewPhase
        "off" without a preview, also during a run; "waiting" for an annotation; "undrawn" if the
        ticked layers are empty.
    reason : str
        Reason in one sentence, if there is no preview because it failed or nothing is drawn.
    outlined : bool
        True while an outline is shown.
    """

    phase: PreviewPhase = "off"
    reason: str = ""
    outlined: bool = False

    @property
    def text(self) -> str:
        """Text beside the check box, which is too narrow for the reason of a failure."""
        return TEXTS[self.phase]

    def changed(self) -> PreviewState:
        """Return the state after a change of the annotation, a setting or the frame in view."""
        return PreviewState("out of date" if self.outlined else "waiting", outlined=self.outlined)

    def started(self) -> PreviewState:
        """Return the state after a job was submitted; its model may have to be loaded."""
        return PreviewState("loading", outlined=self.outlined)

    def progressed(self, stage: Stage) -> PreviewState:
        """Return the state in a stage of the job."""
        loading = stage in ("starting", "downloading", "loading")
        return PreviewState("loading" if loading else "busy", outlined=self.outlined)

    def shown(self) -> PreviewState:
        """Return the state after a result was shown, which may be refined."""
        return PreviewState("refining", outlined=True)

    def finished(self) -> PreviewState:
        """Return the state after the job has ended, whose last result is shown."""
        return replace(self, phase="up to date") if self.phase == "refining" else self

    def failed(self, reason: str, *, undrawn: bool = False) -> PreviewState:
        """Return the state after a failure, or without drawings; an old outline is removed."""
        return PreviewState("undrawn" if undrawn else "failed", reason)

    def cleared(self, *, waiting: bool = False) -> PreviewState:
        """Return the state after the outline was removed."""
        return PreviewState("waiting" if waiting else "off")
