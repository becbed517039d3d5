"""Events of a run: progress, results and its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.inference.objects.find import Objects
from napari_vrp_sam.models.calibration import ClassCalibration


@dataclass(frozen=True)
class Progress:
    """Progress of a run: frames done, frames in total, and the current step."""

    done: int
    total: int
    message: str


@dataclass(frozen=True)
class Learned:
    """The model has learned the annotations: calibration and expected IoU of each class."""

    calibrations: dict[int, ClassCalibration]


@dataclass(frozen=True, eq=False)
class FrameResult:
    """Prediction of one frame.

    Attributes
    ----------
    index : int
        Index of the frame, counted along the flattened leading axes.
    labels : ndarray, shape (Y, X)
    confidence : dict of int to float
        Expected IoU of each class that was found on the frame.
    probabilities : ndarray, shape (K, Y, X), float32, optional
        Probability of each class, if the job requests them.
    """

    index: int
    labels: NDArray[Any]
    confidence: dict[int, float] = field(default_factory=dict)
    probabilities: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class FrameWritten:
    """A frame whose labels a worker has written to the output itself.

    `confidence` and `probabilities` are as in `FrameResult`; `checksum` is that of the labels.
    """

    index: int
    checksum: int
    confidence: dict[int, float] = field(default_factory=dict)
    probabilities: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class ObjectsFound:
    """Result of an `ObjectsJob`; ids are known once all frames are linked."""

    objects: Objects


class JobEvent:
    """Base class of the events of other jobs."""


@dataclass(frozen=True)
class Done:
    """The run is complete."""

    frames_written: int


@dataclass(frozen=True)
class Failed:
    """The run failed, with one sentence for the user.

    `detail` is empty if the user can fix the problem, and a traceback if it is an internal error.
    """

    message: str
    detail: str = ""


@dataclass(frozen=True)
class Cancelled:
    """The run was cancelled; finished frames are kept."""

    frames_written: int


Event = (
    Progress
    | Learned
    | FrameResult
    | FrameWritten
    | ObjectsFound
    | JobEvent
    | Done
    | Failed
    | Cancelled
)
