"""Events of a fine-tuning run; the engine adds the final one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from napari_vrp_sam.inference.runs.events import JobEvent

EndReason = Literal["time", "steps", "converged"]
"""Why a training ended: budget of time or number of steps used up, or no improvement any more."""


@dataclass(frozen=True)
class TrainingStep(JobEvent):
    """Loss of one step, and the progress of the training.

    Attributes
    ----------
    step, steps : int
        Steps done, and steps in total: given by the user, or estimated from the budget.
    loss : float
    seconds_left : float
        Estimated training time that is left, within the budget.
    seconds : float
        Training time so far, without loading and validation.
    budget : float or None
        Training time in total; None if the number of steps is given.
    """

    step: int
    steps: int
    loss: float
    seconds_left: float
    seconds: float = 0.0
    budget: float | None = None


@dataclass(frozen=True)
class Validation(JobEvent):
    """Mean IoU on the held-out frames, and the best one so far. Step 0 is the base model."""

    step: int
    iou: float
    best: float


@dataclass(frozen=True, eq=False)
class Comparison(JobEvent):
    """Labels of the preview frame by the base model and the new model, shape (Y, X) each."""

    frame: int
    before: NDArray[Any]
    after: NDArray[Any]


@dataclass(frozen=True)
class FineTuningResult(JobEvent):
    """Result of a fine-tuning.

    Attributes
    ----------
    path : Path or None
        File of the new model; None if it is not better than the base model and was not saved.
    iou_before, iou_after : float
        Mean IoU on the held-out frames by the base model and the new model.
    steps : int
        Number of training steps.
    ended_by : {"time", "steps", "converged"}
        Reason for the end of the training.
    improving : bool
        True if the last validation was the best one.
    """

    path: Path | None
    iou_before: float
    iou_after: float
    steps: int = 0
    ended_by: EndReason = "steps"
    improving: bool = False
