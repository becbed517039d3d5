"""What runs tell while they are under way, and at their end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.inference.objects.find import Objects
from napari_vrp_sam.models.calibration import ClassCalibration


@dataclass(frozen=True)
class Progress:
    """How far a run is, and what it is doing."""

    done: int
    total: int
    message: str


@dataclass(frozen=True)
class Learned:
    """What the annotations taught: how each class is put together, and the IoU to expect."""

    calibrations: dict[int, ClassCalibration]


@dataclass(frozen=True, eq=False)
class FrameResult:
    """Prediction of one frame.

    Attributes
    ----------
    index : int
        Of the frame, counted along the flattened leading axes.
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
    """A frame whose labels went to the output from where they were made, and not through here.

    `confidence` and `probabilities` are as in `FrameResult`, `checksum` is that of the labels.
    """

    index: int
    checksum: int
    confidence: dict[int, float] = field(default_factory=dict)
    probabilities: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class ObjectsFound:
    """The result of an `ObjectsJob`, all at once: ids are known when all frames are linked."""

    objects: Objects


class JobEvent:
    """What a `Work` tells; its own module says more."""


@dataclass(frozen=True)
class Done:
    """The end: every frame was written."""

    labels_written: int


@dataclass(frozen=True)
class Failed:
    """The end: a sentence for the user.

    `detail` is empty where the user can mend it, and a traceback where the fault is ours.
    """

    message: str
    detail: str = ""


@dataclass(frozen=True)
class Cancelled:
    """The end, wished for: the frames written until then are whole and kept."""

    labels_written: int


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
