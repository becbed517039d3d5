"""Events of a fine-tuning run; the engine adds the final one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_vrp_sam.inference.runs.events import JobEvent


@dataclass(frozen=True)
class TrainingStep(JobEvent):
    """Loss of one step, and the estimated time left."""

    step: int
    steps: int
    loss: float
    seconds_left: float


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
    """

    path: Path | None
    iou_before: float
    iou_after: float
