"""Tasks of a dask worker, which holds one model and does one task at a time."""

from __future__ import annotations

import functools
import pickle
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import labels_checksum
from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
from napari_vrp_sam.inference.prediction.tiles.tile_plan import ContextTile, Tile, tile_logits
from napari_vrp_sam.inference.prediction.tiles.tiling import TileProgress
from napari_vrp_sam.inference.runs.dask.content import (
    FrameWriter,
    PickledJob,
    WorkerState,
)
from napari_vrp_sam.inference.runs.dask.full_memory import Result, try_twice
from napari_vrp_sam.inference.runs.events import FrameResult, FrameWritten
from napari_vrp_sam.inference.runs.segmentation import frame_result
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

if TYPE_CHECKING:
    from napari_vrp_sam.inference.out_of_core.frame_view import FrameLike
    from napari_vrp_sam.inference.prediction.outputs import FramePrediction
    from napari_vrp_sam.inference.prediction.predictor import Predictor
    from napari_vrp_sam.inference.prediction.smoothing.stack_smoothing import StackSmoother

Arguments = ParamSpec("Arguments")


@dataclass(frozen=True)
class _Prepared:
    token: str
    job: SegmentationJob
    writer: FrameWriter | None
    predictor: Predictor
    smoother: StackSmoother | None
    sent: dict[int, NDArray[Any]]
    """Frames that came with the job or with the task."""


_lock = threading.Lock()
"""Held during a task, because one model fills memory and CPU however many threads a worker has."""

_predictors = PredictorCache(0)
_prepared: _Prepared | None = None
_last_frame: tuple[tuple[str, int], FrameLike] | None = None


def _alone(task: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a task run alone, and try it twice if the memory is full."""

    @functools.wraps(task)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with _lock:
            return try_twice(lambda: task(*args, **kwargs), _release)

    return run


def share_job(pickled: PickledJob) -> PickledJob:
    """Return the job as the result of a task, which workers pass on and can repeat."""
    return pickled


def load_and_learn(pickled: PickledJob) -> WorkerState:
    """Load the model and learn the annotations."""
    with _lock:
        prepared = _prepare(pickled)
        predictor, smoother = prepared.predictor, prepared.smoother
        return WorkerState(
            predictor.calibrations,
            predictor.tile_side,
            predictor.model.uses_frame_context,
            predictor.model.best_threshold,
            predictor.batch_size,
            smoother is not None and smoother.measure(),
        )


@_alone
def segment_frames(
    pickled: PickledJob, indices: list[int], frames: dict[int, NDArray[Any]] | None = None
) -> list[FrameResult | FrameWritten]:
    """Segment frames in one stream, and write them if the job has a writer.

    Parameters
    ----------
    pickled : PickledJob
    indices : list of int
        Indices of the frames, counted along the flattened leading axes.
    frames : dict of int to ndarray, each of shape (Y, X, C), optional
        The pixels of these and of the frames around them, if the worker cannot read them.
    """
    prepared = _prepare(pickled)
    job, predictor, smoother = prepared.job, prepared.predictor, prepared.smoother
    prepared.sent.clear()
    prepared.sent.update(frames or {})
    predictions: Iterator[FramePrediction | TileProgress]
    if smoother is not None and smoother.measure():
        predictions = smoother.stream(indices, probabilities=job.needs_probabilities)
    else:
        pixels = (_read(pickled, prepared.sent, index) for index in indices)
        predictions = predictor.predict_stream(pixels, probabilities=job.needs_probabilities)
    return [
        frame_event(index, prediction, job, prepared.writer)
        for index, prediction in zip(indices, predictions, strict=True)
        if not isinstance(prediction, TileProgress)  # no frame is larger than a tile
    ]


def frame_event(
    index: int, prediction: FramePrediction, job: SegmentationJob, writer: FrameWriter | None
) -> FrameResult | FrameWritten:
    """Write a frame if there is a writer, and return the event that reports it."""
    result = frame_result(index, prediction, job)
    if writer is None:
        return result
    writer.write(index, result.labels)
    checksum = labels_checksum(result.labels)
    return FrameWritten(index, checksum, result.confidence, result.probabilities)


@_alone
def tile_context(
    pickled: PickledJob, index: int, tile: ContextTile, pixels: NDArray[Any] | None = None
) -> Any:
    """Compute what a tile contributes to the context of its frame; see `Model.tile_context`."""
    predictor = _prepare(pickled).predictor
    features = predictor.encode(_pixels(pickled, index, tile.pixels, pixels))
    return predictor.model.tile_context(features, predictor.prepared, tile.place, tile.cells)


@_alone
def frame_context(pickled: PickledJob, parts: list[Any]) -> Any:
    """Combine the contributions of tiles; see `Model.frame_context`."""
    predictor = _prepare(pickled).predictor
    return predictor.model.frame_context(parts, predictor.prepared)


@_alone
def segment_tile(
    pickled: PickledJob,
    index: int,
    number: int,
    tile: Tile,
    context: Any,
    pixels: NDArray[Any] | None = None,
) -> tuple[int, NDArray[np.float32]]:
    """Segment a tile of a large frame.

    Parameters
    ----------
    pickled : PickledJob
    index : int
        Index of the frame.
    number : int
        Number of the tile, returned with the result.
    tile : Tile
    context : object
        Return value of `frame_context`, if the model sees the whole frame.
    pixels : ndarray, shape (Y, X, C), optional
        Pixels of the tile, if the worker cannot read them.

    Returns
    -------
    number : int
    logits : ndarray, shape (K, Y, X), float32
    """
    import torch

    from napari_vrp_sam.inference.prediction.outputs import clear_missing

    predictor = _prepare(pickled).predictor
    pixels = _pixels(pickled, index, tile.pixels, pixels)
    with torch.no_grad():
        logits = tile_logits(
            predictor.model, predictor.prepared, predictor.encode(pixels), context, tile.place
        )
    return number, clear_missing(logits, pixels)


def _pixels(
    pickled: PickledJob, index: int, part: tuple[slice, slice], pixels: NDArray[Any] | None
) -> NDArray[Any]:
    import dask

    if pixels is not None:
        return pixels
    with dask.config.set(scheduler="synchronous"):  # see `_frame`
        return _frame(pickled, index)[part]


def _release() -> None:
    """Release memory that the next task does not need."""
    import torch

    global _last_frame  # noqa: PLW0603
    _last_frame = None
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _read(pickled: PickledJob, sent: dict[int, NDArray[Any]], index: int) -> NDArray[Any]:
    """Return a frame that was sent, or read it."""
    return sent[index] if index in sent else np.asarray(_frame(pickled, index))


def _frame(pickled: PickledJob, index: int) -> FrameLike:
    """Read a frame; the last one is cached for its other tiles."""
    import dask

    global _last_frame  # noqa: PLW0603
    if _last_frame is None or _last_frame[0] != (pickled.token, index):
        job = _prepare(pickled).job
        # A lazy array would be read through the worker's client, which starts the next task
        # meanwhile: that task would wait for our lock, and we for that task.
        with dask.config.set(scheduler="synchronous"):
            _last_frame = (pickled.token, index), job.view().frame(index)
    return _last_frame[1]


def _prepare(pickled: PickledJob) -> _Prepared:
    global _prepared  # noqa: PLW0603 # one model per process
    if _prepared is None or _prepared.token != pickled.token:
        _prepared = None
        content = pickle.loads(pickled.content)  # noqa: S301 # pickled by our own client
        job, writer, around = content
        predictor = _predictors.predictor(job)
        assert job.normalisation is not None
        predictor.set_references(job.references, job.normalisation, effort=job.effort)
        sent = {} if around is None else dict(around.measured)
        smoother = None
        if around is not None:
            from napari_vrp_sam.inference.prediction.smoothing.stack_smoothing import StackSmoother

            smoother = StackSmoother(
                predictor,
                functools.partial(_read, pickled, sent),
                around.neighbours.__getitem__,
                job.references,
            )
        _prepared = _Prepared(pickled.token, job, writer, predictor, smoother, sent)
        if smoother is not None:
            smoother.measure()
    return _prepared
