"""State of a run and of its end, and the quality of a result; parts of the panel's state."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import KW_ONLY, dataclass, replace
from typing import Literal

from napari_vrp_sam.inference.runs.events import Progress

Outcome = Literal["done", "cancelled", "refused", "failed"]
"""End of a run; "refused" is an error that the user can fix, "failed" a bug."""


@dataclass(frozen=True)
class RunEnd:
    """End of the last run, as long as its image is chosen and its result exists.

    Attributes
    ----------
    outcome : Outcome
    done, total : int
        Frames with a result, and frames of the run.
    seconds : float
        Duration.
    layer : hashable, optional
        Identifies the result layer.
    message : str
        Why the run failed, or "because ..." if somebody else has cancelled it.
    progress : Progress, optional
        The last one; it does not count the accepted frames.
    settings : str
        Thresholds and clean-up in words; empty for the automatic ones.
    warning : str
        The last warning of the run itself.
    """

    outcome: Outcome
    _: KW_ONLY
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    layer: Hashable = None
    message: str = ""
    progress: Progress | None = None
    settings: str = ""
    warning: str = ""


@dataclass(frozen=True)
class Quality:
    """Expected quality of a result.

    Attributes
    ----------
    expected : tuple of (str, float or None)
        Name and expected IoU of each class; None if the annotation is too small for an estimate.
    details : tuple of str
        Calibration of each class in words.
    lowest : (str, float), optional
        Number and confidence of the next frame to annotate.
    """

    expected: tuple[tuple[str, float | None], ...] = ()
    details: tuple[str, ...] = ()
    lowest: tuple[str, float] | None = None


@dataclass(frozen=True)
class RunState:
    """A run in progress.

    Attributes
    ----------
    progress : Progress
        The last one.
    started, stage_started : float
        Seconds on the clock of the panel.
    first : (float, float), optional
        Frames completed, and time, when the first of them was completed.
    left : (float, float), optional
        Estimated seconds left, and time of the estimate.
    quality : Quality
        Expected IoU of the classes, once they are learned.
    cancelling : bool
    warning : str
        The last warning of the run itself, such as that the image shows no contrast.
    """

    progress: Progress
    started: float
    stage_started: float
    first: tuple[float, float] | None = None
    left: tuple[float, float] | None = None
    quality: Quality = Quality()
    cancelling: bool = False
    warning: str = ""

    def progressed(self, progress: Progress, now: float) -> RunState:
        """Return the state after an event; the time left is estimated from the frames alone."""
        same = self.cancelling or progress.stage == self.progress.stage
        since = self.stage_started if same else now
        first, left = self.first, None
        completed = progress.completed
        if progress.stage == "segmenting" and completed:
            first = first or (completed, now)
            if completed > first[0]:
                rate = (now - first[1]) / (completed - first[0])
                left = rate * (progress.total - completed), now
            elif self.left is not None:
                left = self.left
        return replace(self, progress=progress, stage_started=since, first=first, left=left)
