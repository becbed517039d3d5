"""An engine that works in another process: the window stays responsive and memory is freed.

A separate process also keeps libraries apart: on Linux, the compiler inside Triton (which PyTorch
loads) and the one inside Mesa's OpenGL crash in the same process.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.arguments import as_array
from napari_vrp_sam.inference.frames import Frames, read_selection
from napari_vrp_sam.inference.job import Job
from napari_vrp_sam.inference.runs.control import Control, StopRunError
from napari_vrp_sam.inference.runs.engine import Run, RunFailedError
from napari_vrp_sam.inference.runs.events import Cancelled, Done, Event, Failed
from napari_vrp_sam.inference.runs.process.channel import ReadRequest, RemoteArray, SetControl, Task
from napari_vrp_sam.inference.runs.process.worker_process import (
    Listeners,
    WorkerProcess,
    WorkerState,
)

IDLE_TIMEOUT = 15 * 60.0
"""Seconds without a job after which the process ends and frees its memory, above all of a GPU."""


class ProcessEngine:
    """Run jobs one after the other in a worker process that is reused; for the window.

    A worker process that ended, because it was idle or because memory ran out, is replaced for the
    next job.

    Parameters
    ----------
    idle_timeout : float, optional
        Seconds without a job after which the process ends.
    """

    def __init__(self, idle_timeout: float = IDLE_TIMEOUT) -> None:
        self._idle_timeout = idle_timeout
        self._worker: WorkerProcess | None = None
        self._listeners = Listeners()
        self._lock = threading.Lock()

    @property
    def state(self) -> WorkerState:
        """State of the worker process: "stopped", "starting", "restarting", "ready" or "busy"."""
        worker = self._worker
        return "stopped" if worker is None else worker.state

    def listen(self, listener: Callable[[WorkerState], None]) -> None:
        """Call a function with the new state whenever it changes, from any thread."""
        self._listeners.add(listener)

    def ignore(self, listener: Callable[[WorkerState], None]) -> None:
        """Do not call a function any more that was given to `listen`."""
        self._listeners.remove(listener)

    def submit(self, job: Job) -> Run:
        """Start a job and return at once; errors in the job arrive as `Failed`.

        The job's model must be a name or a file. A job that is in progress is finished first.
        """
        self.warm_up()
        return Run(job, ProcessBackend(self)).start()

    def warm_up(self) -> WorkerProcess:
        """Start the worker process if it is not running; `PrepareJob` does the rest."""
        with self._lock:
            if self._worker is None or not self._worker.alive:
                earlier = self._worker
                if earlier is not None:
                    earlier.end()
                self._worker = WorkerProcess(
                    self._idle_timeout, self._listeners, again=earlier is not None
                )
            return self._worker

    def close(self) -> None:
        """End the worker process and free its memory."""
        with self._lock:
            if self._worker is not None:
                self._worker.end()
                self._worker = None


class ProcessBackend:
    """Send the job of one run to the worker process, and read the stack for it.

    Parameters
    ----------
    engine : ProcessEngine
        Has the worker process.
    """

    def __init__(self, engine: ProcessEngine) -> None:
        self._engine = engine
        self._worker: WorkerProcess | None = None
        """Process that does this job now."""
        self._number = -1
        self._patience = Job.patience
        self._sending = threading.Lock()

    def events(self, job: Job, control: Control) -> Generator[Event]:
        """See `RunBackend`; waits until the worker has finished the jobs before this one."""
        try:
            yield from self._attempt(job, control)
        except _NotStartedError:
            # The process ended just before, for example because it was idle.
            try:
                yield from self._attempt(job, control)
            except _NotStartedError as error:
                raise RunFailedError(error.failure) from error

    def control_changed(self, control: Control) -> None:
        """See `RunBackend`; the frame in progress is lost unless it is nearly done."""
        worker = self._worker
        if worker is None:
            return
        # Neither may hold up the window, because a pipe can be full.
        threads = [threading.Thread(target=self._send_control, args=(worker, control))]
        if control.cancelled:
            threads.append(threading.Timer(self._patience, self._end_if_busy, args=(worker,)))
        for thread in threads:
            thread.daemon = True
            thread.start()

    def _attempt(self, job: Job, control: Control) -> Generator[Event]:
        with self._turn(control) as worker:
            yield from self._events(worker, job, control)

    @contextlib.contextmanager
    def _turn(self, control: Control) -> Generator[WorkerProcess]:
        """Wait for a worker process that is at rest."""
        while True:
            if control.cancelled:
                raise StopRunError
            worker = self._engine.warm_up()
            if worker.begin_job(timeout=0.05):
                break
        self._number = next(worker.numbers)
        self._worker = worker
        try:
            yield worker
        finally:
            self._worker = None
            worker.end_job()

    def _events(self, worker: WorkerProcess, job: Job, control: Control) -> Generator[Event]:
        self._patience = job.patience
        frames = job.view()
        data = as_array(job.data)
        stand_in = RemoteArray(tuple(data.shape), np.dtype(data.dtype))
        if control.cancelled:  # the worker has received no control message
            raise StopRunError
        if control.paused:
            self._send_control(worker, control)
        task = Task(self._number, _with_stand_in(job, stand_in, frames))
        started = False
        try:
            worker.channel.send(task)
            for message in self._received(worker, data):
                started = True
                if message is not None:
                    yield message
        except InputError:
            raise
        except (EOFError, OSError, ValueError) as error:  # ValueError: the pipe was closed here
            worker.end()
            if control.cancelled:
                raise StopRunError from error
            kind = RunFailedError if started else _NotStartedError
            raise kind(_died(worker)) from error
        except (StopRunError, RunFailedError, GeneratorExit):
            raise
        except Exception:
            worker.end()  # its state is unknown
            raise

    def _received(self, worker: WorkerProcess, data: Any) -> Generator[Event | None]:
        """Yield what the worker sends until the final event, and None for each request."""
        while True:
            message = worker.receive()
            match message:
                case ReadRequest():
                    yield None  # before the answer, which fails if the worker has ended
                    worker.channel.send(_read(data, message))
                case Done():
                    return
                case Cancelled():
                    raise StopRunError
                case Failed(text, ""):
                    raise InputError(text)
                case Failed():
                    raise RunFailedError(message)
                case _:
                    yield message

    def _send_control(self, worker: WorkerProcess, control: Control) -> None:
        # The last message carries the latest state, because threads may overtake each other.
        with self._sending, contextlib.suppress(OSError, ValueError):
            worker.channel.send(SetControl(self._number, control.cancelled, control.paused))

    def _end_if_busy(self, worker: WorkerProcess) -> None:
        if self._worker is worker:
            worker.process.kill()


class _NotStartedError(RunFailedError):
    """The worker process ended before it sent anything for a job."""


def _with_stand_in(job: Job, data: RemoteArray, frames: Frames) -> Job:
    """Return a job on an array that is read here, with what only the array itself tells."""
    known: dict[str, Any] = {"data": data, "axes": frames.axes}
    if "nodata" in {field.name for field in fields(job)}:  # type: ignore[arg-type]
        known["nodata"] = frames.nodata
    return replace(job, **known)  # type: ignore[type-var]


def _died(worker: WorkerProcess) -> Failed:
    code = worker.process.wait()
    return Failed(
        "The worker process ended early, perhaps because memory ran out: close other programs, "
        "or choose a smaller model. Finished frames are kept, and the next run starts a new "
        "process.",
        detail=f"exit code {code}",
    )


def _read(data: Any, request: ReadRequest) -> Any:
    try:
        return read_selection(data, request.selection)
    except Exception as error:  # raised again in the other process
        return OSError(f"The stack could not be read: {error}")
