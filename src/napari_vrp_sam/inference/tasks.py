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

if TYPE_CHECKING:
    from napari_vrp_sam.inference.predictor import Predictor
    from napari_vrp_sam.models.choice import Choice


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
class _Prepared:
    token: str
    job: Job
    writer: FrameWriter | None
    predictor: Predictor


_lock = threading.Lock()
"""One frame at a time, however many threads a worker has: a model fills memory and processors."""

_memory = Memory(0)
_prepared: _Prepared | None = None


def keep(order: Order) -> Order:
    """Itself, as the result of a task: workers pass it on, and a lost one is made again."""
    return order


def learn(order: Order) -> dict[int, Choice]:
    """Load the model and learn the annotations; how each class is put together."""
    with _lock:
        return _prepare(order).predictor.choices


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
    from napari_vrp_sam.inference.predictor import labels_from_probabilities

    with _lock:
        prepared = _prepare(order)
        job, predictor = prepared.job, prepared.predictor
        if frame is None:
            frame = Frames(job.data, job.axes, job.channels)[index]
        probabilities = predictor.predict(frame)
        labels = labels_from_probabilities(probabilities, predictor.class_ids)
        result = frame_result(index, labels, probabilities, predictor.class_ids, job)
        if prepared.writer is None:
            return result
        prepared.writer.write(index, labels)
        return FrameWritten(index, labels_checksum(labels), result.confidence)


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
