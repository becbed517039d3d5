"""Engines run jobs: a job goes in, events come out, and it can be paused and cancelled.

This module stays light: torch is imported by the backend that does the work, not by the caller.
"""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.job import Job
from napari_vrp_sam.inference.runs.control import Control, StopRunError
from napari_vrp_sam.inference.runs.events import (
    Cancelled,
    Done,
    Event,
    Failed,
    FrameResult,
    FrameWritten,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache


class RunFailedError(Exception):
    """Failure of a job, as reported by another process.

    Parameters
    ----------
    failure : Failed
    """

    def __init__(self, failure: Failed) -> None:
        super().__init__(failure.message)
        self.failure = failure


class RunBackend(Protocol):
    """Interface that does the work of a run: in this thread, in another process, or on workers."""

    def events(self, job: Job, control: Control) -> Generator[Event]:
        """Do a job, and yield all of its events except the final one.

        Raises
        ------
        StopRunError
            If the run was cancelled.
        InputError
            If the job has invalid settings or data.
        RunFailedError
            If it failed elsewhere.
        """
        ...

    def control_changed(self, control: Control) -> None:
        """Pass on that the run was cancelled, paused or resumed; called from any thread."""
        ...


class Run:
    """A job in progress. Its last event is `Done`, `Failed` or `Cancelled`.

    Parameters
    ----------
    job : Job
    backend : RunBackend
        Does the work, called from a thread of the run.
    unread : int, optional
        Number of frame results that may wait to be read before the work pauses; default: no limit.
    """

    def __init__(self, job: Job, backend: RunBackend, *, unread: int | None = None) -> None:
        self._job = job
        self._backend = backend
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._control = Control()
        self._room = None if unread is None else threading.Semaphore(unread)
        self._ended = False

    def start(self) -> Run:
        """Start the work and return the run itself."""
        # A daemon thread, because a closed window must not wait for the frame in progress.
        threading.Thread(target=self._work, name="vrp-sam-run", daemon=True).start()
        return self

    def events(self) -> Iterator[Event]:
        """Wait for events until the last one."""
        while not self._ended:
            try:
                # Windows delivers Ctrl+C between waits only.
                event = self._queue.get(timeout=0.2)
            except queue.Empty:
                continue
            yield self._read(event)

    def poll(self) -> list[Event]:
        """Return the events since the last call without waiting."""
        events = []
        while not self._queue.empty():
            events.append(self._read(self._queue.get()))
        return events

    def cancel(self) -> None:
        """Stop after the frame in progress."""
        self._control.cancel()
        self._backend.control_changed(self._control)

    def pause(self) -> None:
        """Pause after the frame in progress."""
        self._control.pause()
        self._backend.control_changed(self._control)

    def resume(self) -> None:
        """Continue after a pause."""
        self._control.resume()
        self._backend.control_changed(self._control)

    def _read(self, event: Event) -> Event:
        self._ended = isinstance(event, Done | Failed | Cancelled)
        if self._room is not None and isinstance(event, FrameResult):
            self._room.release()
        return event

    def _work(self) -> None:
        frames = 0
        end: Event
        try:
            # Closed before the end is reported: reading ahead must not take what the next run
            # requests.
            with closing(self._backend.events(self._job, self._control)) as events:
                for event in events:
                    self._put(event)
                    frames += isinstance(event, FrameResult | FrameWritten)
            end = Done(frames)
        except StopRunError:
            end = Cancelled(frames)
        except RunFailedError as error:
            end = error.failure
        except InputError as error:
            end = Failed(str(error))
        except Exception as error:  # the reading thread has to learn of any error
            message = f"Unexpected error ({type(error).__name__}: {error}); please report it."
            end = Failed(message, traceback.format_exc())
        self._queue.put(end)

    def _put(self, event: Event) -> None:
        """Hand an event to the reader; a cancelled run no longer waits for room."""
        if self._room is not None and isinstance(event, FrameResult):
            while not self._room.acquire(timeout=0.2):
                if self._control.cancelled:
                    break
        self._queue.put(event)


class Engine(Protocol):
    """Runs jobs."""

    def submit(self, job: Job) -> Run:
        """Start a job and return at once; errors in the job arrive as `Failed`."""
        ...


class ThreadBackend:
    """Does the work in the run's own thread.

    Parameters
    ----------
    cache : PredictorCache, optional
        Model, references and features of earlier jobs.
    """

    def __init__(self, cache: PredictorCache | None = None) -> None:
        self._cache = cache

    def events(self, job: Job, control: Control) -> Generator[Event]:
        """See `RunBackend`."""
        yield from job.events(control, self._cache)

    def control_changed(self, control: Control) -> None:
        """See `RunBackend`; the job itself checks its control."""


class ThreadEngine:
    """Runs each job in a thread of this process; for scripts, tests and small stacks.

    Parameters
    ----------
    cache : PredictorCache, optional
        Makes a second job faster; jobs must then be submitted one after the other.
    """

    def __init__(self, cache: PredictorCache | None = None) -> None:
        self._backend = ThreadBackend(cache)

    def submit(self, job: Job) -> Run:
        """Start a job and return at once; errors in the job arrive as `Failed`."""
        return Run(job, self._backend).start()
