"""The other end of `ProcessEngine`: a process that does one job after the other.

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

REST = 15 * 60
"""Seconds without a job after which the process ends: its memory, a GPU's above all, is wanted."""


class MessageRouter:
    """Sorts what comes in: tasks and answers wait to be taken, cancellation and pause act at once.

    The process ends with the one at the other end, even in the middle of a frame.
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
        threading.Thread(target=self._sort, name="vrp-sam-post", daemon=True).start()

    def next_task(self) -> Task | None:
        """Wait for a task; none comes for a long time if nobody is there any more."""
        try:
            return self._tasks.get(timeout=REST)
        except queue.Empty:
            return None

    def ask(self, request: ReadRequest) -> Any:
        """Send a request and wait for its answer; one at a time, from any thread."""
        with self._asking:
            self._channel.send(request)
            return self._answers.get()

    def do(self, task: Task, run: Run) -> None:
        """Send the events of a run until its end."""
        with self._lock:
            self._number, self._run = task.number, run
            self._apply_control()
        for event in run.events():
            self._channel.send(event)
        with self._lock:
            self._run = None

    def _sort(self) -> None:
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
        """Pass the latest state on to the run that it is for."""
        if self._run is None or self._control.number != self._number:
            return
        if self._control.cancelled:
            self._run.cancel()
        elif self._control.paused:
            self._run.pause()
        else:
            self._run.resume()


def main() -> None:
    """Do what comes in on stdin, until nothing comes any more."""
    channel = Channel(sys.stdin.buffer, os.fdopen(os.dup(1), "wb"))
    # What a library prints would garble the messages.
    os.dup2(2, 1)
    post = MessageRouter(channel)
    _give_way()
    # The heavy libraries load while the job is still being prepared. Probes grow trees: without
    # this the first one would wait for seconds.
    import sklearn.ensemble  # noqa: F401

    import napari_vrp_sam.inference.prediction.predictor
    import napari_vrp_sam.models.lite.model  # noqa: F401
    from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
    from napari_vrp_sam.inference.runs.engine import ThreadEngine

    engine = ThreadEngine(PredictorCache())
    while task := post.next_task():
        task.job.data.requester = post
        post.do(task, engine.submit(task.job))
        _free_gpu()


def _give_way() -> None:
    """The window goes first where processors are few."""
    import psutil

    niceness = psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else 5
    psutil.Process().nice(niceness)


def _free_gpu() -> None:
    """What a run leaves free is for others."""
    import torch

    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
