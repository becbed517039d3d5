"""An engine that works in another process: the window stays responsive and memory is freed.

A separate process also keeps libraries apart: on Linux, the compiler inside Triton (which PyTorch
loads) and the one inside Mesa's OpenGL crash in the same process.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.job import Job
from napari_vrp_sam.inference.runs.channel import (
    Channel,
    ReadRequest,
    RemoteArray,
    SetControl,
    Task,
)
from napari_vrp_sam.inference.runs.control import Control, StopRunError
from napari_vrp_sam.inference.runs.engine import Run, RunFailedError
from napari_vrp_sam.inference.runs.events import Cancelled, Done, Event, Failed

PATIENCE = 0.6
"""Seconds that a cancelled job gets to end by itself. A worker that is killed in the middle of a
frame loses its caches."""


class ProcessEngine:
    """Run jobs one after the other in a worker process that is reused; for the window."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def submit(self, job: Job) -> Run:
        """Start a job and return at once; errors in the job arrive as `Failed`.

        The job's model must be a name or a file. A job that is in progress is finished first.
        """
        return Run(job, ProcessBackend(self.warm_up())).start()

    def warm_up(self) -> Worker:
        """Start the worker process if it is not running; its imports take seconds."""
        if self._worker is None or not self._worker.alive:
            self.close()
            self._worker = Worker()
        return self._worker

    def close(self) -> None:
        """End the worker process and free its memory."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None


class Worker:
    """The worker process and the channel to it."""

    def __init__(self) -> None:
        # Not `multiprocessing`, which would run the user's script again, including its window.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "napari_vrp_sam.inference.runs.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # The window needs CPU time too, so threads must not spin while they wait.
            env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._ending = weakref.finalize(self, _end, self.process)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.channel = Channel(self.process.stdout, self.process.stdin)
        self.turn = threading.Lock()
        """Held by the run that uses the process."""
        self.numbers = itertools.count()

    @property
    def alive(self) -> bool:
        """True if the process can take a job."""
        return self.process.poll() is None

    def end(self) -> None:
        """End the process and close its pipes; also done when the worker is garbage collected."""
        self._ending()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # unsent data
            if pipe is not None:
                pipe.close()


class ProcessBackend:
    """Send the job of one run to the worker process, and read the stack for it.

    Parameters
    ----------
    worker : Worker
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._number = next(worker.numbers)
        self._busy = False
        self._sending = threading.Lock()

    def events(self, job: Job, control: Control) -> Generator[Event]:
        """See `RunBackend`; waits until the worker has finished the jobs before this one."""
        while not self._worker.turn.acquire(timeout=0.05):
            if control.cancelled:
                raise StopRunError
        try:
            yield from self._events(job, control)
        finally:
            self._busy = False
            self._worker.turn.release()

    def control_changed(self, control: Control) -> None:
        """See `RunBackend`; the frame in progress is lost unless it is nearly done."""
        if not self._busy:
            return
        # Neither may hold up the window, because a pipe can be full.
        threads = [threading.Thread(target=self._send_control, args=(control,))]
        if control.cancelled:
            threads.append(threading.Timer(PATIENCE, self._end_if_busy))
        for thread in threads:
            thread.daemon = True
            thread.start()

    def _events(self, job: Job, control: Control) -> Generator[Event]:
        frames = Frames(job.data, job.axes, job.channels)
        data = job.data if hasattr(job.data, "dtype") else np.asarray(job.data)
        stand_in = RemoteArray(tuple(data.shape), np.dtype(data.dtype))
        self._busy = True
        if control.cancelled:  # the worker has received no control message
            raise StopRunError
        if control.paused:
            self._send_control(control)
        task = Task(self._number, replace(job, data=stand_in, axes=frames.axes))  # type: ignore[type-var]
        try:
            self._worker.channel.send(task)
            yield from self._received(data)
        except InputError:
            raise
        except (EOFError, OSError, ValueError) as error:  # ValueError: the pipe was closed here
            self._worker.end()
            if control.cancelled:
                raise StopRunError from error
            raise RunFailedError(self._died()) from error
        except (StopRunError, RunFailedError, GeneratorExit):
            raise
        except Exception:
            self._worker.end()  # its state is unknown
            raise

    def _received(self, data: Any) -> Generator[Event]:
        """Yield what the worker sends until the final event, and answer its requests."""
        channel = self._worker.channel
        while True:
            message = channel.receive()
            match message:
                case ReadRequest():
                    channel.send(_read(data, message))
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

    def _send_control(self, control: Control) -> None:
        # The last message carries the latest state, because threads may overtake each other.
        with self._sending, contextlib.suppress(OSError, ValueError):
            self._worker.channel.send(SetControl(self._number, control.cancelled, control.paused))

    def _end_if_busy(self) -> None:
        if self._busy:
            self._worker.process.kill()

    def _died(self) -> Failed:
        code = self._worker.process.wait()
        return Failed(
            "The worker process ended early, perhaps because memory ran out: close other programs, "
            "or choose a smaller model. Finished frames are kept, and the next run starts a new "
            "process.",
            detail=f"exit code {code}",
        )


def _read(data: Any, request: ReadRequest) -> Any:
    try:
        return np.asarray(data[request.selection])
    except Exception as error:  # raised again in the other process
        return OSError(f"The stack could not be read: {error}")
