"""What a fine-tuning tells while it runs. The engine adds the end: done, failed, cancelled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_vrp_sam.inference.runs.events import JobEvent


@dataclass(frozen=True)
class TrainingStep(JobEvent):
    """One step, its loss, and the time that is left."""

    step: int
    steps: int
    loss: float
    seconds_left: float


@dataclass(frozen=True)
class Validation(JobEvent):
    """Mean IoU on what was held out; `best` is the highest until then. Step 0 is the base model."""

    step: int
    iou: float
    best: float


@dataclass(frozen=True, eq=False)
class Comparison(JobEvent):
    """Labels of the frame in view, shape (Y, X) each: by the base model, and by the new one."""

    frame: int
    before: NDArray[Any]
    after: NDArray[Any]


@dataclass(frozen=True)
class FineTuningResult(JobEvent):
    """What came of it: a file, or None where it was no better and the old model stays."""

    path: Path | None
    iou_before: float
    iou_after: float
