"""State of the live preview, without Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari_vrp_sam.inference.runs.events import Stage

PreviewPhase = Literal["off", "waiting", "loading", "busy", "up to date", "out of date", "failed"]

TEXTS: dict[PreviewPhase, str] = {
    "off": "",
    "waiting": "",
    "loading": "loading the model…",
    "busy": "updating…",
    "up to date": "up to date",
    "out of date": "out of date",
}


@dataclass(frozen=True)
class PreviewState:
    """State of the live preview.

    Attributes
    ----------
    phase : PreviewPhase
        "off" without a preview, also during a run; "waiting" for an annotation.
    reason : str
        Why there is no preview, if it failed.
    outlined : bool
        True while an outline is shown.
    """

    phase: PreviewPhase = "off"
    reason: str = ""
    outlined: bool = False

    @property
    def text(self) -> str:
        """The state in words."""
        return self.reason if self.phase == "failed" else TEXTS[self.phase]

    def changed(self) -> PreviewState:
        """The annotation, a setting or the frame in view has changed."""
        return PreviewState("out of date" if self.outlined else "waiting", outlined=self.outlined)

    def started(self) -> PreviewState:
        """A job was submitted; the model may have to be loaded."""
        return PreviewState("loading", outlined=self.outlined)

    def progressed(self, stage: Stage) -> PreviewState:
        """The job is in another stage."""
        loading = stage in ("starting", "downloading", "loading")
        return PreviewState("loading" if loading else "busy", outlined=self.outlined)

    def shown(self) -> PreviewState:
        """The outline of the last change is shown."""
        return PreviewState("up to date", outlined=True)

    def failed(self, reason: str) -> PreviewState:
        """There is no preview, for a reason in one sentence; an old outline is removed."""
        return PreviewState("failed", reason)

    def cleared(self, *, waiting: bool = False) -> PreviewState:
        """The outline was removed."""
        return PreviewState("waiting" if waiting else "off")
