"""What runs tell while they are under way, and at their end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.inference.objects import Objects
from napari_vrp_sam.models.choice import Choice


@dataclass(frozen=True)
class Progress:
    """How far a run is, and what it is doing."""

    done: int
    total: int
    message: str


@dataclass(frozen=True)
class Learned:
    """What the annotations taught: how each class is put together, and the IoU to expect."""

    choices: dict[int, Choice]


@dataclass(frozen=True, eq=False)
class FrameResult:
    """Labels of one frame, shape (Y, X); frames come nearest to the annotated ones first.

    `confidence` is the IoU to expect of each class that was found on the frame; `percent`, where
    the job asks for it, the probability of each class in percent, shape (K, Y, X), uint8.
    """

    index: int
    labels: NDArray[Any]
    confidence: dict[int, float] = field(default_factory=dict)
    percent: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class FrameWritten:
    """A frame whose labels went to the output from where they were made, and not through here.

    `confidence` is as in `FrameResult`, `checksum` that of the labels.
    """

    index: int
    checksum: int
    confidence: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ObjectsFound:
    """The result of an `ObjectsJob`, all at once: ids are known when all frames are linked."""

    objects: Objects


class WorkEvent:
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
    | WorkEvent
    | Done
    | Failed
    | Cancelled
)
