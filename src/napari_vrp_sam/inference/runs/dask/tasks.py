"""What a worker of dask.distributed does: one model in its process, a frame at a time."""

from __future__ import annotations

import pickle
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import labels_checksum
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
from napari_vrp_sam.inference.prediction.tile_plan import ContextTile, Tile, tile_logits
from napari_vrp_sam.inference.runs.events import FrameResult, FrameWritten
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

if TYPE_CHECKING:
    import numpy as np

    from napari_vrp_sam.inference.prediction.outputs import FramePrediction
    from napari_vrp_sam.inference.prediction.predictor import Predictor
    from napari_vrp_sam.models.base import FrameFeatures
    from napari_vrp_sam.models.calibration import ClassCalibration


class FrameWriter(Protocol):
    """Writes labels to a place that all workers reach; it is sent to them."""

    def open(self) -> None:
        """Make the place; called once, before anything is written."""
        ...

    def write(self, index: int, labels: NDArray[Any]) -> None:
        """Take the labels of a frame."""
        ...


@dataclass(frozen=True)
class PickledJob:
    """A job as it is sent to workers.

    Attributes
    ----------
    token : str
        Of this run: by it a worker knows what it has prepared.
    content : bytes
        The job and the writer, pickled: a scheduler need not understand them. Without a stack,
        the pixels of its frames are sent one by one.
    """

    token: str
    content: bytes

    @classmethod
    def of(cls, token: str, job: SegmentationJob, writer: FrameWriter | None) -> PickledJob:
        """Pack a job."""
        return cls(token, pickle.dumps((job, writer)))


@dataclass(frozen=True)
class WorkerState:
    """What a worker knows once it has learned the annotations.

    Attributes
    ----------
    choices : dict of int to Choice
        How each class is put together.
    uses_frame_context : bool
        Whether tiles of large frames need context; see `Model.uses_frame_context`.
    chunk : int
        Number of frames to hand out at once.
    """

    calibrations: dict[int, ClassCalibration]
    uses_frame_context: bool
    chunk: int


@dataclass(frozen=True)
class _Prepared:
    token: str
    job: SegmentationJob
    writer: FrameWriter | None
    predictor: Predictor


_lock = threading.Lock()
"""One frame at a time, however many threads a worker has: a model fills memory and processors."""

_memory = PredictorCache(0)
_prepared: _Prepared | None = None
_last_frame: tuple[tuple[str, int], NDArray[Any]] | None = None


def keep(order: PickledJob) -> PickledJob:
    """Itself, as the result of a task: workers pass it on, and a lost one is made again."""
    return order


def learn(order: PickledJob) -> WorkerState:
    """Load the model and learn the annotations."""
    with _lock:
        predictor = _prepare(order).predictor
        return WorkerState(
            predictor.calibrations, predictor.model.uses_frame_context, predictor.batch_size
        )


def segment_frames(
    order: PickledJob, indices: list[int], frames: list[NDArray[Any]] | None = None
) -> list[FrameResult | FrameWritten]:
    """Segment frames in one stream, and write them where the order says so.

    Parameters
    ----------
    order : PickledJob
    indices : list of int
        Of the frames, counted along the flattened leading axes.
    frames : list of ndarray, each of shape (Y, X, C), optional
        Their pixels, where the worker cannot read them.
    """
    with _lock:
        prepared = _prepare(order)
        job, predictor = prepared.job, prepared.predictor
        pixels = (_frame(order, index) for index in indices) if frames is None else frames
        predictions = predictor.predict_stream(pixels, probabilities=job.probabilities)
        return [
            frame_event(index, prediction, job, prepared.writer)
            for index, prediction in zip(indices, predictions, strict=True)
        ]


def frame_event(
    index: int, prediction: FramePrediction, job: SegmentationJob, writer: FrameWriter | None
) -> FrameResult | FrameWritten:
    """Write a frame where there is a writer; return the event that reports it."""
    labels, confidence = prediction.labels, prediction.confidence
    probabilities = prediction.probabilities if job.probabilities else None
    if writer is None:
        return FrameResult(index, labels, confidence, probabilities)
    writer.write(index, labels)
    return FrameWritten(index, labels_checksum(labels), confidence, probabilities)


def tile_context(
    order: PickledJob, index: int, tile: ContextTile, pixels: NDArray[Any] | None = None
) -> Any:
    """Compute what a tile contributes to the context of its frame; see `Model.tile_context`."""
    with _lock:
        predictor = _prepare(order).predictor
        features = _encode(order, index, tile.pixels, pixels)
        return predictor.model.tile_context(features, predictor.prepared, tile.place, tile.cells)


def frame_context(order: PickledJob, parts: list[Any]) -> Any:
    """Combine the contributions of tiles; see `Model.frame_context`."""
    with _lock:
        predictor = _prepare(order).predictor
        return predictor.model.frame_context(parts, predictor.prepared)


def segment_tile(
    order: PickledJob,
    index: int,
    number: int,
    tile: Tile,
    context: Any,
    pixels: NDArray[Any] | None = None,
) -> tuple[int, NDArray[np.float32]]:
    """Segment a tile of a large frame.

    Parameters
    ----------
    order : PickledJob
    index : int
        Of the frame.
    number : int
        Of the tile; given back with the result.
    tile : Tile
    context : object
        Return value of `frame_context`, if the model sees the whole frame.
    pixels : ndarray, shape (Y, X, C), optional
        Of the tile, where the worker cannot read them.

    Returns
    -------
    number : int
    logits : ndarray, shape (K, Y, X), float32
    """
    import torch

    with _lock, torch.no_grad():
        predictor = _prepare(order).predictor
        features = _encode(order, index, tile.pixels, pixels)
        return number, tile_logits(
            predictor.model, predictor.prepared, features, context, tile.place
        )


def _encode(
    order: PickledJob, index: int, part: tuple[slice, slice], pixels: NDArray[Any] | None
) -> FrameFeatures:
    if pixels is None:
        pixels = _frame(order, index)[part]
    return _prepare(order).predictor.encode(pixels)


def _frame(order: PickledJob, index: int) -> NDArray[Any]:
    """A frame as the worker reads it; the last one is kept for its other tiles."""
    import dask

    global _last_frame  # noqa: PLW0603
    if _last_frame is None or _last_frame[0] != (order.token, index):
        job = _prepare(order).job
        # Of a lazy array, the worker's own client would hand out the reading, and let the next
        # task begin meanwhile: that one waits for our lock, and we for its turn to end.
        with dask.config.set(scheduler="synchronous"):
            _last_frame = (order.token, index), Frames(job.data, job.axes, job.channels)[index]
    return _last_frame[1]


def _prepare(order: PickledJob) -> _Prepared:
    global _prepared  # noqa: PLW0603 # a process has one model
    if _prepared is None or _prepared.token != order.token:
        _prepared = None
        job, writer = pickle.loads(order.content)  # noqa: S301 # our own client packed it
        predictor = _memory.predictor(job)
        assert job.normalisation is not None
        predictor.set_references(job.references, job.normalisation)
        _prepared = _Prepared(order.token, job, writer, predictor)
    return _prepared
