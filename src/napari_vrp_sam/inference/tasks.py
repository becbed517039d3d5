"""What a worker of dask.distributed does: one model in its process, a frame at a time."""

from __future__ import annotations

import pickle
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import labels_checksum
from napari_vrp_sam.inference.engine import frame_result
from napari_vrp_sam.inference.events import FrameResult, FrameWritten
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.job import Job
from napari_vrp_sam.inference.memory import Memory
from napari_vrp_sam.inference.overview import Look, Surveying, logits_of_tile

if TYPE_CHECKING:
    import numpy as np

    from napari_vrp_sam.inference.predictor import Predictor
    from napari_vrp_sam.models.choice import Choice
    from napari_vrp_sam.models.tile_tokens import Place
    from napari_vrp_sam.models.types import FrameFeatures


class FrameWriter(Protocol):
    """Writes labels to a place that all workers reach; it is sent to them."""

    def open(self) -> None:
        """Make the place; called once, before anything is written."""
        ...

    def write(self, index: int, labels: NDArray[Any]) -> None:
        """Take the labels of a frame."""
        ...


@dataclass(frozen=True)
class Order:
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
    def of(cls, token: str, job: Job, writer: FrameWriter | None) -> Order:
        """Pack a job."""
        return cls(token, pickle.dumps((job, writer)))


@dataclass(frozen=True)
class Tile:
    """Part of a large frame: rows and columns in pixels, and where these lie."""

    rows: slice
    columns: slice
    place: Place


@dataclass(frozen=True)
class _Prepared:
    token: str
    job: Job
    writer: FrameWriter | None
    predictor: Predictor


_lock = threading.Lock()
"""One frame at a time, however many threads a worker has: a model fills memory and processors."""

_memory = Memory(0)
_prepared: _Prepared | None = None
_last_frame: tuple[tuple[str, int], NDArray[Any]] | None = None


def keep(order: Order) -> Order:
    """Itself, as the result of a task: workers pass it on, and a lost one is made again."""
    return order


def learn(order: Order) -> tuple[dict[int, Choice], bool]:
    """Load the model and learn the annotations.

    Returns
    -------
    choices : dict of int to Choice
        How each class is put together.
    surveying : bool
        Whether tiles of large frames need what the model gathers from the whole frame.
    """
    with _lock:
        predictor = _prepare(order).predictor
        return predictor.choices, isinstance(predictor.model, Surveying)


def segment_frame(
    order: Order, index: int, frame: NDArray[Any] | None = None
) -> FrameResult | FrameWritten:
    """Segment a frame, and write it where the order says so.

    Parameters
    ----------
    order : Order
    index : int
        Of the frame, counted along the flattened leading axes.
    frame : ndarray, shape (Y, X, C), optional
        Its pixels, where the worker cannot read them.
    """
    from napari_vrp_sam.inference.class_labels import labels_from_probabilities

    with _lock:
        prepared = _prepare(order)
        job, predictor = prepared.job, prepared.predictor
        probabilities = predictor.predict(_frame(order, index) if frame is None else frame)
        labels = labels_from_probabilities(probabilities, predictor.class_ids)
        result = frame_result(index, labels, probabilities, predictor.class_ids, job)
        if prepared.writer is None:
            return result
        prepared.writer.write(index, labels)
        return FrameWritten(index, labels_checksum(labels), result.confidence)


def glimpse_tile(order: Order, index: int, look: Look, pixels: NDArray[Any] | None = None) -> Any:
    """Look at a tile of a large frame; see `overview`."""
    with _lock:
        predictor = _prepare(order).predictor
        features = _encode(order, index, look.rows, look.columns, pixels)
        assert isinstance(predictor.model, Surveying)
        return predictor.model.glimpse(features, predictor.prepared, look.place, look.cells)


def gather(order: Order, glimpses: list[Any]) -> Any:
    """What the model makes of all glimpses of a frame."""
    with _lock:
        predictor = _prepare(order).predictor
        assert isinstance(predictor.model, Surveying)
        return predictor.model.overview(glimpses, predictor.prepared)


def segment_tile(
    order: Order,
    index: int,
    number: int,
    where: Tile,
    survey: Any,
    pixels: NDArray[Any] | None = None,
) -> tuple[int, NDArray[np.float32]]:
    """Segment a tile of a large frame.

    Parameters
    ----------
    order : Order
    index : int
        Of the frame.
    number : int
        Of the tile; given back with the result.
    where : Tile
    survey : object
        What `gather` gave, if the model surveys frames.
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
        features = _encode(order, index, where.rows, where.columns, pixels)
        return number, logits_of_tile(
            predictor.model, predictor.prepared, features, survey, where.place
        )


def _encode(
    order: Order, index: int, rows: slice, columns: slice, pixels: NDArray[Any] | None
) -> FrameFeatures:
    if pixels is None:
        pixels = _frame(order, index)[rows, columns]
    return _prepare(order).predictor.encode(pixels)


def _frame(order: Order, index: int) -> NDArray[Any]:
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


def _prepare(order: Order) -> _Prepared:
    global _prepared  # noqa: PLW0603 # a process has one model
    if _prepared is None or _prepared.token != order.token:
        _prepared = None
        job, writer = pickle.loads(order.content)  # noqa: S301 # our own client packed it
        predictor = _memory.predictor(job)
        assert job.normalisation is not None
        predictor.set_references(job.references, job.normalisation)
        _prepared = _Prepared(order.token, job, writer, predictor)
    return _prepared
