"""Where work runs: a job goes in, events come out, and it can be cancelled.

This module stays light: torch is imported where the work is done, never by whoever submits.
"""

from __future__ import annotations

import math
import queue
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.confidence import confidences
from napari_vrp_sam.inference.control import Control, StopRunError
from napari_vrp_sam.inference.events import (
    Cancelled,
    Done,
    Event,
    Failed,
    FrameResult,
    FrameWritten,
    Learned,
    ObjectsFound,
    Progress,
    WorkEvent,
)
from napari_vrp_sam.inference.job import Job, plan
from napari_vrp_sam.inference.objects import ObjectsJob, find_objects
from napari_vrp_sam.inference.segment import iter_segment

if TYPE_CHECKING:
    from napari_vrp_sam.inference.memory import Memory

__all__ = [
    "Cancelled",
    "Control",
    "Done",
    "Engine",
    "Event",
    "Failed",
    "FrameResult",
    "FrameWritten",
    "Job",
    "Learned",
    "ObjectsFound",
    "Progress",
    "Run",
    "ThreadEngine",
    "Work",
    "WorkEvent",
]


class Work(Protocol):
    """A job that brings its own way to be done; a dataclass, so that its data can be replaced."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def data(self) -> Any:
        """The stack, as `Frames` takes it."""
        ...

    @property
    def axes(self) -> str | None:
        """One letter of T, Z, C, Y, X, S for each axis of the data."""
        ...

    @property
    def channels(self) -> Sequence[int] | None:
        """The channels in use."""
        ...

    def events(self, control: Control, memory: Memory | None) -> Iterator[Event]:
        """Do it, and tell of it; the engine adds the end.

        Parameters
        ----------
        control : Control
            To be checked at every step.
        memory : Memory, optional
            What earlier jobs have left in the same process.
        """
        ...


AnyJob = Job | ObjectsJob | Work
"""Whatever an engine takes."""


class Run(Protocol):
    """A job under way. Its last event is `Done`, `Failed` or `Cancelled`."""

    def events(self) -> Iterator[Event]:
        """Wait for events until the last one."""
        ...

    def poll(self) -> list[Event]:
        """Events since the last call, at once; for a timer of the window."""
        ...

    def cancel(self) -> None:
        """Stop after the frame in work."""
        ...

    def pause(self) -> None:
        """Wait after the frame in work."""
        ...

    def resume(self) -> None:
        """Go on after a pause."""
        ...


class Engine(Protocol):
    """Something that does jobs."""

    def submit(self, job: AnyJob) -> Run:
        """Start a job and return at once."""
        ...


class ThreadEngine:
    """Does each job in a thread of this process; for scripts, tests and small stacks.

    Parameters
    ----------
    memory : Memory, optional
        Makes a second job quicker; jobs must then come one after the other.
    """

    def __init__(self, memory: Memory | None = None) -> None:
        self._memory = memory

    def submit(self, job: AnyJob) -> ThreadRun:
        """Start a job and return at once; mistakes in the job arrive as `Failed`."""
        return ThreadRun(job, self._memory)


class ThreadRun:
    """A `Run` in a thread of its own."""

    def __init__(self, job: AnyJob, memory: Memory | None = None) -> None:
        self._memory = memory
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._control = Control()
        self._ended = False
        self._done = self._total = 0
        # A daemon, or a closed window would wait for the frame in work.
        self._thread = threading.Thread(
            target=self._work, args=(job,), name="vrp-sam-run", daemon=True
        )
        self._thread.start()

    def events(self) -> Iterator[Event]:
        """Wait for events until the last one."""
        while not self._ended:
            try:
                # Windows delivers Ctrl+C between waits only.
                event = self._queue.get(timeout=0.2)
            except queue.Empty:
                continue
            yield self._seen(event)

    def poll(self) -> list[Event]:
        """Events since the last call, at once."""
        events = []
        while not self._queue.empty():
            events.append(self._seen(self._queue.get()))
        return events

    def cancel(self) -> None:
        """Stop after the frame in work."""
        self._control.cancel()

    def pause(self) -> None:
        """Wait after the frame in work."""
        self._control.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        self._control.resume()

    def _seen(self, event: Event) -> Event:
        self._ended = isinstance(event, Done | Failed | Cancelled)
        return event

    def _work(self, job: AnyJob) -> None:
        try:
            if isinstance(job, ObjectsJob):
                self._done = self._find_objects(job)
            elif isinstance(job, Job):
                self._segment(job)
            else:
                for event in job.events(self._control, self._memory):
                    self._queue.put(event)
            self._queue.put(Done(self._done))
        except StopRunError:
            self._queue.put(Cancelled(self._done))
        except InputError as error:
            self._queue.put(Failed(str(error)))
        except Exception as error:  # the other thread must hear of anything
            message = f"Something went wrong on our side ({type(error).__name__}: {error})."
            self._queue.put(Failed(message, traceback.format_exc()))

    def _segment(self, job: Job) -> None:
        self._total = len(plan(job)[1])
        results = iter_segment(
            job,
            report=self._report,
            learned=lambda choices: self._queue.put(Learned(choices)),
            memory=self._memory,
        )
        class_ids = sorted({reference.class_id for reference in job.references})
        # Closed before the end is told: whoever reads ahead must not take what the next run asks.
        with closing(results):
            for index, labels, probabilities in results:
                self._tell_frame(frame_result(index, labels, probabilities, class_ids, job))

    def _report(self, message: str) -> None:
        self._control.check()
        self._queue.put(Progress(self._done, self._total, message))

    def _tell_frame(self, event: Event) -> None:
        """Tell of a frame; cancelled after the last one, a run is done all the same."""
        self._queue.put(event)
        self._done += 1
        if self._done == self._total:
            self._queue.put(Progress(self._done, self._total, self._frame_message()))
        else:
            self._report(self._frame_message())

    def _frame_message(self) -> str:
        return f"Frame {self._done} of {self._total}"

    def _find_objects(self, job: ObjectsJob) -> int:
        """The number of frames whose objects were found."""

        def report(done: int, total: int, message: str) -> None:
            self._control.check()
            self._queue.put(Progress(done, total, message))

        objects = find_objects(job, report)
        self._queue.put(ObjectsFound(objects))
        return math.prod(objects.labels.shape[:-2])


def frame_result(
    index: int,
    labels: NDArray[Any],
    probabilities: NDArray[np.float32],
    class_ids: Sequence[int],
    job: Job,
) -> FrameResult:
    """The event of a frame that was segmented.

    Parameters
    ----------
    index : int
    labels : ndarray, shape (Y, X)
    probabilities : ndarray, shape (K, Y, X)
    class_ids : sequence of int
        The K classes, ascending.
    job : Job
        Says whether probabilities are wanted.
    """
    expected = zip(class_ids, confidences(probabilities).tolist(), strict=True)
    found = {class_id: iou for class_id, iou in expected if not math.isnan(iou)}
    return FrameResult(
        index, labels, found, in_percent(probabilities) if job.probabilities else None
    )


def in_percent(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probabilities in whole percent: a quarter of the memory, and easy to read."""
    percent: NDArray[np.uint8] = (100 * probabilities).round().astype(np.uint8)
    return percent
