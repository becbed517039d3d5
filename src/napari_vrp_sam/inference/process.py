"""Work in a process of its own: the window stays quick, cancelling is immediate, memory comes back.

A process keeps libraries apart, too: on Linux, the compiler inside Triton (which PyTorch loads) and
the one inside Mesa's OpenGL crash when they meet in one process.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import traceback
import weakref
from dataclasses import replace
from typing import Any

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.channel import Cancel, Channel, Pause, ReadRequest, RemoteArray, Task
from napari_vrp_sam.inference.engine import (
    AnyJob,
    Cancelled,
    Done,
    Failed,
    FrameResult,
    ThreadRun,
)
from napari_vrp_sam.inference.frames import Frames

PATIENCE = 0.6
"""Seconds that a cancelled job has to end by itself. A worker that is ended in the middle of a
frame forgets what makes the next run quick."""


class ProcessEngine:
    """Does jobs one after the other in a process that stays; for the window."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def submit(self, job: AnyJob) -> ProcessRun:
        """Start a job and return at once; mistakes in the job arrive as `Failed`.

        The job's model has to be a name or a file. Another job that is under way is waited for.
        """
        return ProcessRun(job, self.warm_up())

    def warm_up(self) -> Worker:
        """Start the process, unless it is there: it loads its libraries, which takes seconds."""
        if self._worker is None or not self._worker.alive:
            self.close()
            self._worker = Worker()
        return self._worker

    def close(self) -> None:
        """End the process, and give back its memory."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None


class Worker:
    """The process, and the way to talk to it."""

    def __init__(self) -> None:
        # Not `multiprocessing`: it would run the user's script again, window and all.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "napari_vrp_sam.inference.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # The window needs processor time too: threads must not spin while they wait.
            env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._ending = weakref.finalize(self, _end, self.process)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.channel = Channel(self.process.stdout, self.process.stdin)
        self.turn = threading.Lock()
        """Whoever holds it has the process to itself."""
        self.numbers = itertools.count()

    @property
    def alive(self) -> bool:
        """Whether the process can take a job."""
        return self.process.poll() is None

    def end(self) -> None:
        """Leave no process and no pipe behind; somebody who forgets the worker does the same."""
        self._ending()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # what was still to be sent to the dead
            if pipe is not None:
                pipe.close()


class ProcessRun(ThreadRun):
    """A `Run` in another process; a thread here listens to it and reads what it asks for."""

    def __init__(self, job: AnyJob, worker: Worker) -> None:
        self._worker = worker
        self._number = next(worker.numbers)
        self._at_work = False
        self._pausing = threading.Lock()
        super().__init__(job)

    def cancel(self) -> None:
        """Stop; the frame in work is lost unless it is nearly done."""
        super().cancel()
        if not self._at_work:
            return
        # Neither may hold up the window: a pipe can be full.
        for thread in (
            threading.Thread(target=self._send_cancel, name="vrp-sam-cancel"),
            threading.Timer(PATIENCE, self._end_if_at_work),
        ):
            thread.daemon = True
            thread.start()

    def pause(self) -> None:
        """Wait after the frame in work; the process is kept from other jobs meanwhile."""
        super().pause()
        self._tell_pause()

    def resume(self) -> None:
        """Go on after a pause."""
        super().resume()
        self._tell_pause()

    def _tell_pause(self) -> None:
        if self._at_work:
            threading.Thread(target=self._send_pause, name="vrp-sam-pause", daemon=True).start()

    def _send_pause(self) -> None:
        # Whoever sends last sends how it is by then: threads may overtake each other.
        with self._pausing, contextlib.suppress(OSError, ValueError):
            self._worker.channel.send(Pause(self._number, self._control.paused))

    def _send_cancel(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the process is gone already
            self._worker.channel.send(Cancel(self._number))

    def _end_if_at_work(self) -> None:
        if self._at_work:
            self._worker.process.kill()

    def _work(self, job: AnyJob) -> None:
        while not self._worker.turn.acquire(timeout=0.05):
            if self._control.cancelled:
                self._queue.put(Cancelled(0))
                return
        done = 0
        try:
            frames = Frames(job.data, job.axes, job.channels)
            data = job.data if hasattr(job.data, "dtype") else np.asarray(job.data)
            stand_in = RemoteArray(tuple(data.shape), np.dtype(data.dtype))
            self._at_work = True
            if self._control.cancelled:  # nobody has told the worker
                self._queue.put(Cancelled(0))
                return
            if self._control.paused:
                self._send_pause()
            channel = self._worker.channel
            channel.send(Task(self._number, replace(job, data=stand_in, axes=frames.axes)))
            while True:
                message = channel.receive()
                if isinstance(message, ReadRequest):
                    channel.send(_read(data, message))
                    continue
                done += isinstance(message, FrameResult)
                if isinstance(message, Done | Failed | Cancelled):
                    self._at_work = False
                    self._queue.put(message)
                    break
                self._queue.put(message)
        except InputError as error:
            self._queue.put(Failed(str(error)))
        except (EOFError, OSError, ValueError):  # ValueError: the pipe was closed here
            self._worker.end()
            self._queue.put(Cancelled(done) if self._control.cancelled else self._died())
        except Exception as error:  # the other thread must hear of anything
            self._worker.end()  # nobody knows where it stands
            message = f"Something went wrong on our side ({type(error).__name__}: {error})."
            self._queue.put(Failed(message, traceback.format_exc()))
        finally:
            self._at_work = False
            self._worker.turn.release()

    def _died(self) -> Failed:
        code = self._worker.process.wait()
        return Failed(
            "The process that does the work ended early: perhaps memory ran out; close other "
            "programs, or choose a smaller model. What was finished is kept, and the next run "
            "starts a new process.",
            detail=f"exit code {code}",
        )


def _read(data: Any, request: ReadRequest) -> Any:
    try:
        return np.asarray(data[request.selection])
    except Exception as error:  # it has to surface in the other process
        return OSError(f"The stack could not be read: {error}")
