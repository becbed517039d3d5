"""The worker process as seen from the process that controls it: start, state and end."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, Literal

from napari_vrp_sam.inference.runs.process.channel import Channel, Ready

logger = logging.getLogger(__name__)

WorkerState = Literal["stopped", "starting", "restarting", "ready", "busy"]
"""State of a worker process; "starting" until it can read messages, with or without a job, and
"restarting" if it replaces one that has ended."""

SILENCE = 2.0
"""Seconds without a message after which it is checked whether the process has ended."""

GRACE = 10.0
"""Seconds that an idle process gets to end by itself."""


class Listeners:
    """Functions that are called with the state of a worker process whenever it changes."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[WorkerState], None]] = []

    def add(self, listener: Callable[[WorkerState], None]) -> None:
        """Add a function."""
        self._listeners.append(listener)

    def remove(self, listener: Callable[[WorkerState], None]) -> None:
        """Remove a function that was added."""
        self._listeners.remove(listener)

    def notify(self, state: WorkerState) -> None:
        """Call all functions."""
        for listener in list(self._listeners):
            try:
                listener(state)
            except Exception:  # a listener must not stop the thread that receives messages
                logger.exception("A listener of the worker process failed")


class _Status:
    """State of a process, whose changes are reported to listeners."""

    def __init__(self, listeners: Listeners, *, again: bool) -> None:
        self._listeners = listeners
        self._again = again
        self._lock = threading.Lock()
        self._ended = self._ready = self._busy = False

    @property
    def state(self) -> WorkerState:
        if self._ended:
            return "stopped"
        if not self._ready:
            return "restarting" if self._again else "starting"
        return "busy" if self._busy else "ready"

    def update(self, *, ended: bool = False, ready: bool = False, busy: bool | None = None) -> None:
        with self._lock:
            before = self.state
            self._ended, self._ready = self._ended or ended, self._ready or ready
            self._busy = self._busy if busy is None else busy
            state = self.state
        if state != before:
            self._listeners.notify(state)


class WorkerProcess:
    """A worker process, which ends with this object, and the channel to it.

    A thread receives its messages, so that its end is noticed at once and no zombie remains.

    Parameters
    ----------
    idle_timeout : float
        Seconds without a job after which the process ends.
    listeners : Listeners
        Called with each new state.
    again : bool
        Whether it replaces a process that has ended.

    Attributes
    ----------
    process : subprocess.Popen
    channel : Channel
        Only for sending; for receiving see `receive`.
    numbers : iterator of int
        Numbers for jobs.
    """

    def __init__(self, idle_timeout: float, listeners: Listeners, *, again: bool = False) -> None:
        # Not `multiprocessing`, which would run the user's script again, including its window.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "napari_vrp_sam.inference.runs.process.worker"],
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
        self.numbers = itertools.count()
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._status = _Status(listeners, again=again)
        self._turn = threading.Lock()
        self._idle_timeout = idle_timeout
        self._idle_timer: threading.Timer | None = None
        listeners.notify(self._status.state)
        # Without a reference to this object, whose end ends the process.
        threading.Thread(
            target=_receive,
            args=(self.process, self.channel, self._inbox, self._status),
            name="vrp-sam-post",
            daemon=True,
        ).start()
        self._rest()

    @property
    def alive(self) -> bool:
        """True if the process can take a job."""
        return self._status.state != "stopped" and self.process.poll() is None

    @property
    def state(self) -> WorkerState:
        """State of the process."""
        return self._status.state

    def begin_job(self, timeout: float) -> bool:
        """Reserve the process for a job; return False if it has another one, or has ended."""
        if not self._turn.acquire(timeout=timeout):
            return False
        if not self.alive:
            self._turn.release()
            return False
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._status.update(busy=True)
        return True

    def end_job(self) -> None:
        """Free the process for the next job."""
        self._status.update(busy=False)
        self._rest()
        self._turn.release()

    def receive(self) -> Any:
        """Wait for the next message to the current job.

        Raises
        ------
        EOFError
            If the process has ended.
        Exception
            If it was ended because a message could not be read.
        """
        message = self._next()
        if isinstance(message, Exception):
            self._inbox.put(message)  # for the next caller
            raise message
        return message

    def _next(self) -> Any:
        while True:
            try:
                return self._inbox.get(timeout=SILENCE)
            except queue.Empty:
                # A process that it started may keep the pipe open, so that no end is received.
                if self.process.poll() is not None:
                    self._status.update(ended=True)
                    return EOFError()

    def end(self) -> None:
        """End the process at once; also done when this object is garbage collected."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._ending()
        self._status.update(ended=True)

    def _rest(self) -> None:
        """Let the process end when it has been idle for some time."""
        # Decided here and not by the process itself, which could end while a job is on its way.
        timer = threading.Timer(self._idle_timeout, _end_idle, args=(weakref.ref(self),))
        timer.daemon = True
        self._idle_timer = timer
        timer.start()

    def _end_if_idle(self) -> None:
        if not self._turn.acquire(blocking=False):
            return
        try:
            assert self.process.stdin is not None
            with contextlib.suppress(OSError, ValueError):
                self.process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(GRACE)
            self.end()
        finally:
            self._turn.release()


def _end_idle(reference: weakref.ref[WorkerProcess]) -> None:
    worker = reference()
    if worker is not None:
        worker._end_if_idle()  # noqa: SLF001


def _receive(
    process: subprocess.Popen[bytes],
    channel: Channel,
    inbox: queue.SimpleQueue[Any],
    status: _Status,
) -> None:
    """Receive messages until the process ends, and reap it."""
    end: Exception
    try:
        while True:
            message = channel.receive()
            if isinstance(message, Ready):
                status.update(ready=True)
            else:
                inbox.put(message)
    except Exception as error:  # EOFError, or any error in a message, after which nothing is sure
        end = error
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    status.update(ended=True)
    inbox.put(end)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    with contextlib.suppress(OSError):  # unsent data
        if process.stdin is not None:
            process.stdin.close()
