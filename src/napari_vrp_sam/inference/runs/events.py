"""Events of a run: progress, results and its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.inference.objects.find import Objects
from napari_vrp_sam.inference.relabelling.levels import CompressedLevels
from napari_vrp_sam.models.calibration import ClassCalibration

Stage = Literal[
    "starting",
    "downloading",
    "loading",
    "sampling",
    "learning",
    "segmenting",
    "evaluating",
    "training",
    "finding objects",
]
"""Stage of a run: the worker starts, weights are downloaded, the model is loaded, intensities are
sampled, the annotations are learned, and so on."""


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Attributes
    ----------
    done, total : int
        Frames done, and frames in total.
    message : str
        The current step in words.
    stage : Stage
        The same for programs.
    tile, tiles : int
        Number of the tile in progress, from 1, and of all tiles of the frame in progress; 0 if
        frames are not tiled.
    """

    done: int
    total: int
    message: str
    stage: Stage = "starting"
    tile: int = 0
    tiles: int = 0

    @property
    def completed(self) -> float:
        """Number of frames done, with the finished tiles of the frame in progress as a fraction."""
        return self.done + (self.tile - 1) / self.tiles if self.tiles else self.done


def frame_progress(done: int, total: int, tile: int = 0, tiles: int = 0) -> Progress:
    """Return the progress of a run that segments frames; see `Progress`.

    Examples
    --------
    >>> frame_progress(4, 20, 2, 9).message
    'Frame 5 of 20, tile 2 of 9'
    """
    message = f"Frame {min(done + 1, total)} of {total}"
    if tiles:
        message += f", tile {tile} of {tiles}"
    return Progress(done, total, message, "segmenting", tile, tiles)


@dataclass(frozen=True)
class Loaded:
    """The model is loaded.

    Attributes
    ----------
    device : str
        Device that the model runs on, such as "cpu" or "cuda:0".
    device_name : str
        Its name for users, such as "CPU" or "NVIDIA H200".
    """

    device: str
    device_name: str


@dataclass(frozen=True)
class RunWarning:
    """Something that the user should know, such as a full memory; the run continues."""

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
    labels : ndarray or ScratchArray, shape (Y, X)
        Those of a frame that is too large for the memory lie in a temporary file.
    confidence : dict of int to float
        Expected IoU of each class that was found on the frame.
    probabilities : ndarray or ScratchArray, shape (K, Y, X), float32, optional
        Probability of each class, if the job requests them.
    levels : CompressedLevels, optional
        The same as compressed levels, if the job requests them.
    """

    index: int
    labels: Any
    confidence: dict[int, float] = field(default_factory=dict)
    probabilities: Any = None
    levels: CompressedLevels | None = None


@dataclass(frozen=True)
class FrameWritten:
    """A frame whose labels a worker has written to the output itself.

    `confidence` and `probabilities` are as in `FrameResult`; `checksum` is that of the labels.
    """

    index: int
    checksum: int
    confidence: dict[int, float] = field(default_factory=dict)
    probabilities: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class FrameResumed:
    """A frame that an interrupted run has written; `confidence` is as in `FrameResult`."""

    index: int
    confidence: dict[int, float] = field(default_factory=dict)


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
    | Loaded
    | RunWarning
    | Learned
    | FrameResult
    | FrameWritten
    | FrameResumed
    | ObjectsFound
    | JobEvent
    | Done
    | Failed
    | Cancelled
)
