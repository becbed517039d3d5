"""Objects that are sent to dask workers and back: jobs, writers, and the state of a worker."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

if TYPE_CHECKING:
    from napari_vrp_sam.models.calibration import ClassCalibration


class FrameWriter(Protocol):
    """Write labels to a place that all workers can reach; the writer is sent to them."""

    def open(self) -> None:
        """Create the output; called once, before anything is written."""
        ...

    def write(self, index: int, labels: NDArray[Any]) -> None:
        """Write the labels of a frame."""
        ...


@dataclass(frozen=True)
class PickledJob:
    """A job in the form in which it is sent to workers.

    Attributes
    ----------
    token : str
        Identifies the run, so that a worker prepares it once.
    content : bytes
        The pickled job, writer and neighbourhood, which a scheduler need not unpickle. If the job
        has no stack, frames are sent with the tasks.
    """

    token: str
    content: bytes

    @classmethod
    def of(
        cls,
        token: str,
        job: SegmentationJob,
        writer: FrameWriter | None,
        around: Neighbourhood | None = None,
    ) -> PickledJob:
        """Pickle a job."""
        return cls(token, pickle.dumps((job, writer, around)))


@dataclass(frozen=True)
class Neighbourhood:
    """Neighbours of the frames of a job, for `StackSmoother` on a worker.

    Attributes
    ----------
    neighbours : dict of int to list of int
        Direct neighbours of each frame.
    measured : dict of int to ndarray, each of shape (Y, X, C)
        Annotated frames and their neighbours, if the worker cannot read them.
    """

    neighbours: dict[int, list[int]]
    measured: dict[int, NDArray[Any]]


@dataclass(frozen=True)
class WorkerState:
    """State of a worker that has learned the annotations.

    Attributes
    ----------
    calibrations : dict of int to ClassCalibration
        Calibration of each class.
    tile_side : int
        Longest side of tiles in pixels; see `Predictor.tile_side`.
    uses_frame_context : bool
        Whether tiles of large frames need context; see `Model.uses_frame_context`.
    best_threshold : bool
        See `Model.best_threshold`.
    chunk : int
        Number of frames per task.
    smoothed : bool
        Whether frames are averaged with their neighbours.
    """

    calibrations: dict[int, ClassCalibration]
    tile_side: int
    uses_frame_context: bool
    best_threshold: bool
    chunk: int
    smoothed: bool
