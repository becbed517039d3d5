"""Work in a process of its own: the window stays quick, cancelling is immediate, memory comes back.

A process keeps libraries apart, too: on Linux, the compiler inside Triton (which PyTorch loads) and
the one inside Mesa's OpenGL crash when they meet in one process.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import traceback
from dataclasses import replace
from typing import Any

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.engine import (
    Cancelled,
    Done,
    Failed,
    FrameResult,
    ThreadRun,
)
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.job import Job
from napari_vrp_sam.inference.worker import Channel, ReadRequest, RemoteArray

Process = subprocess.Popen[bytes]


class ProcessEngine:
    """Does each job in a new process, which ends with it; for the window."""

    def __init__(self) -> None:
        self._spare: Process | None = None

    def submit(self, job: Job) -> ProcessRun:
        """Start a job and return at once; mistakes in the job arrive as `Failed`.

        The job's model has to be a name or a file.
        """
        self.warm_up()
        assert self._spare is not None
        process, self._spare = self._spare, None
        return ProcessRun(job, process)

    def warm_up(self) -> None:
        """Start the process for the next job: it loads its libraries, which takes seconds."""
        if self._spare is not None and self._spare.poll() is not None:
            self.close()  # it died while it waited
        if self._spare is None:
            # Not `multiprocessing`: it would run the user's script again, window and all.
            self._spare = subprocess.Popen(
                [sys.executable, "-m", "napari_vrp_sam.inference.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # The window needs processor time too: threads must not spin while they wait.
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )

    def close(self) -> None:
        """End the process that waits for a job, if there is one."""
        if self._spare is not None:
            _end(self._spare)
            self._spare = None


class ProcessRun(ThreadRun):
    """A `Run` in another process; a thread here listens to it and reads what it asks for."""

    def __init__(self, job: Job, process: Process) -> None:
        self._process = process
        super().__init__(job)

    def cancel(self) -> None:
        """Stop at once; the frame in work is lost."""
        super().cancel()
        self._process.kill()

    def _work(self, job: Job) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        channel = Channel(self._process.stdout, self._process.stdin)
        done = 0
        try:
            frames = Frames(job.data, job.axes, job.channels)
            data = job.data if hasattr(job.data, "dtype") else np.asarray(job.data)
            stand_in = RemoteArray(tuple(data.shape), np.dtype(data.dtype))
            channel.send(replace(job, data=stand_in, axes=frames.axes))
            while True:
                message = channel.receive()
                if isinstance(message, ReadRequest):
                    channel.send(_read(data, message))
                    continue
                done += isinstance(message, FrameResult)
                self._queue.put(message)
                if isinstance(message, Done | Failed | Cancelled):
                    break
        except InputError as error:
            self._queue.put(Failed(str(error)))
        except (EOFError, OSError):
            self._queue.put(Cancelled(done) if self._cancelled.is_set() else self._died())
        except Exception as error:  # the other thread must hear of anything
            message = f"Something went wrong on our side ({type(error).__name__}: {error})."
            self._queue.put(Failed(message, traceback.format_exc()))
        finally:
            _end(self._process)

    def _died(self) -> Failed:
        code = self._process.wait()
        return Failed(
            "The process that does the work ended early: perhaps memory ran "
            "out; close other programs, or choose a smaller model.",
            detail=f"exit code {code}",
        )


def _end(process: Process) -> None:
    """Leave no process and no pipe behind."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # what was still to be sent to the dead
            if pipe is not None:
                pipe.close()


def _read(data: Any, request: ReadRequest) -> Any:
    try:
        return np.asarray(data[request.selection])
    except Exception as error:  # it has to surface in the other process
        return OSError(f"The stack could not be read: {error}")
