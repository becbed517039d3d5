"""The worker process of `ProcessEngine`, which does one job after the other.

Jobs come in on stdin, events go out on stdout; see `channel`. The main thread reads, another one
works. The process ends when the pipe is closed: by an engine that does not need it any more, or
because the process of the engine has ended.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from napari_vrp_sam.inference.runs.process.channel import (
    Channel,
    ReadRequest,
    Ready,
    SetControl,
    Task,
)

if TYPE_CHECKING:
    from napari_vrp_sam.inference.runs.engine import Run


class MessageRouter:
    """Route incoming messages: tasks and answers are queued, control messages act at once."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._asking = threading.Lock()
        self._lock = threading.Lock()
        self._number = -1
        self._run: Run | None = None
        self._control = SetControl(-1, cancelled=False, paused=False)

    def route(self) -> None:
        """Route messages until the other process ends or closes the channel."""
        while True:
            try:
                message = self._channel.receive()
            except EOFError:
                return
            if isinstance(message, SetControl):
                with self._lock:
                    self._control = message
                    self._apply_control()
                continue
            waiting = self._tasks if isinstance(message, Task) else self._answers
            waiting.put(message)

    def next_task(self) -> Task:
        """Wait for a task."""
        return self._tasks.get()

    def send(self, message: Any) -> None:
        """Send a message; can be called from any thread."""
        self._channel.send(message)

    def ask(self, request: ReadRequest) -> Any:
        """Send a request and wait for its answer; can be called from any thread."""
        with self._asking:
            self._channel.send(request)
            return self._answers.get()

    def forward(self, task: Task, run: Run) -> None:
        """Send the events of a run until its last one."""
        with self._lock:
            self._number, self._run = task.number, run
            self._apply_control()
        for event in run.events():
            self._channel.send(event)
        with self._lock:
            self._run = None

    def _apply_control(self) -> None:
        """Apply the latest control message to the run that it is for."""
        if self._run is None or self._control.number != self._number:
            return
        if self._control.cancelled:
            self._run.cancel()
        elif self._control.paused:
            self._run.pause()
        else:
            self._run.resume()


def main() -> NoReturn:
    """Do the jobs that come in on stdin until it is closed."""
    # Ctrl+C in a terminal is meant for the process that controls this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    # Anything that a library reads or prints would corrupt the messages.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    router = MessageRouter(channel)
    threading.Thread(target=_exit_after, args=(_work, router), name="vrp-sam-work").start()
    _exit_after(lambda _: router.route(), router)


def _exit_after(call: Callable[[MessageRouter], None], router: MessageRouter) -> NoReturn:
    """Make a call, and end the process at once, even in the middle of a frame.

    The interpreter would wait for other threads, or abort while one of them holds a pipe.
    """
    code = 0
    try:
        call(router)
    except BrokenPipeError:  # the other process has ended
        pass
    except BaseException:  # reported, and the process ends
        traceback.print_exc()
        code = 1
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def _work(router: MessageRouter) -> None:
    """Do jobs for ever. Each job imports what it needs; see `PrepareJob`."""
    _lower_priority()
    from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
    from napari_vrp_sam.inference.runs.engine import ThreadEngine

    router.send(Ready())
    engine = ThreadEngine(PredictorCache())
    while True:
        task = router.next_task()
        task.job.data.requester = router
        router.forward(task, engine.submit(task.job))
        _free_gpu()


def _lower_priority() -> None:
    """Lower the priority, so that the window stays responsive on few cores."""
    import psutil

    niceness = psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else 5
    psutil.Process().nice(niceness)


def _free_gpu() -> None:
    """Return unused GPU memory to the system."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
