"""The worker process of `ProcessEngine`, which does one job after the other.

Jobs come in on stdin, events go out on stdout; see `channel`.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.inference.runs.channel import Channel, ReadRequest, SetControl, Task

if TYPE_CHECKING:
    from napari_vrp_sam.inference.runs.engine import Run

IDLE_TIMEOUT = 15 * 60
"""Seconds without a job after which the process ends and frees its memory, above all of a GPU."""


class MessageRouter:
    """Route incoming messages: tasks and answers are queued, control messages act at once.

    The worker ends with the process at the other end, even in the middle of a frame.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._asking = threading.Lock()
        self._lock = threading.Lock()
        self._number = -1
        self._run: Run | None = None
        self._control = SetControl(-1, cancelled=False, paused=False)
        threading.Thread(target=self._route, name="vrp-sam-post", daemon=True).start()

    def next_task(self) -> Task | None:
        """Wait for a task; return None if none comes for a long time."""
        try:
            return self._tasks.get(timeout=IDLE_TIMEOUT)
        except queue.Empty:
            return None

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

    def _route(self) -> None:
        while True:
            try:
                message = self._channel.receive()
            except EOFError:
                os._exit(0)
            if isinstance(message, SetControl):
                with self._lock:
                    self._control = message
                    self._apply_control()
                continue
            waiting = self._tasks if isinstance(message, Task) else self._answers
            waiting.put(message)

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


def main() -> None:
    """Do the jobs that come in on stdin."""
    channel = Channel(sys.stdin.buffer, os.fdopen(os.dup(1), "wb"))
    # Anything that a library prints would corrupt the messages.
    os.dup2(2, 1)
    post = MessageRouter(channel)
    _lower_priority()
    # Heavy libraries are imported while the user is still preparing a job.
    import sklearn.ensemble  # noqa: F401

    import napari_vrp_sam.inference.prediction.predictor
    import napari_vrp_sam.models.lite.model  # noqa: F401
    from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
    from napari_vrp_sam.inference.runs.engine import ThreadEngine

    engine = ThreadEngine(PredictorCache())
    while task := post.next_task():
        task.job.data.requester = post
        post.forward(task, engine.submit(task.job))
        _free_gpu()


def _lower_priority() -> None:
    """Lower the priority, so that the window stays responsive on few cores."""
    import psutil

    niceness = psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else 5
    psutil.Process().nice(niceness)


def _free_gpu() -> None:
    """Return unused GPU memory to the system."""
    import torch

    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
