"""Work on several processes or machines: dask.distributed, a frame or a tile of one a task."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.annotations.labels import labels_checksum
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.engine import AnyJob, Learned, ThreadRun, frame_result
from napari_vrp_sam.inference.events import Event, FrameResult, FrameWritten
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.job import Job, normalisation_of, plan
from napari_vrp_sam.inference.local_cluster import local_cluster
from napari_vrp_sam.inference.overview import Look, looks, place
from napari_vrp_sam.inference.remote_stack import described
from napari_vrp_sam.inference.standstill import StandstillWatch
from napari_vrp_sam.inference.tasks import (
    FrameWriter,
    Order,
    Tile,
    gather,
    glimpse_tile,
    keep,
    learn,
    segment_frame,
    segment_tile,
)
from napari_vrp_sam.inference.tiling import OVERLAP, WIDE_OVERLAP, add_up, check_tile, tiles_of

if TYPE_CHECKING:
    import numpy as np
    from distributed import Client, Future
    from numpy.typing import NDArray

AHEAD = 2
"""Frames a worker that are handed out before they are asked for: so many results, and where pixels
have to be sent so many frames, are in memory at a time."""

UNREAD = 8
"""Results that wait for whoever reads them, at most: workers may be quicker than a disk."""

PATIENCE = 10
"""Seconds that a scheduler may take to answer."""


class DaskEngine:
    """Does jobs on workers of dask.distributed, each of which keeps one model.

    A worker that is lost is no loss: its frames are done by others. Models and image files have
    to be where the workers find them under the same paths; stacks that lie in no file are sent
    frame by frame.

    Parameters
    ----------
    workers : int, optional
        Start so many on this machine: one a GPU where there are several and dask-cuda is
        installed, else processes that share the processors.
    scheduler : str, optional
        Or the address of a scheduler that has workers, tcp://HOST:PORT.
    writer : FrameWriter, optional
        Lets the workers write labels themselves; runs then tell of `FrameWritten`.

    Raises
    ------
    InputError
        If dask.distributed is not installed, or no scheduler answers.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        scheduler: str | None = None,
        writer: FrameWriter | None = None,
    ) -> None:
        if (workers is None) == (scheduler is None):
            raise InputError("Say either how many workers to start, or where a scheduler is.")
        if workers is not None and workers < 1:
            raise InputError(f"There cannot be {workers} workers: start 1 or more.")
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError(
                "To work on several processes or machines, dask.distributed is missing: "
                "python -m pip install 'napari-vrp-sam[distributed]'."
            ) from error
        self._writer = writer
        self._cluster = None if workers is None else local_cluster(workers)
        try:
            self._client = Client(self._cluster or scheduler, timeout=PATIENCE)
        except (OSError, ValueError) as error:
            raise InputError(
                f"No scheduler of dask answers at {scheduler}: start one with `dask scheduler`, "
                "and workers with `dask worker ADDRESS`."
            ) from error

    def submit(self, job: AnyJob) -> DaskRun:
        """Start a job and return at once; mistakes in the job arrive as `Failed`.

        The job's model has to be a name or a file. Jobs other than segmentation are done here.
        """
        return DaskRun(job, self._client, self._writer)

    def close(self) -> None:
        """Leave the scheduler; end the workers that were started."""
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def __enter__(self) -> DaskEngine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class DaskRun(ThreadRun):
    """A `Run` whose frames are segmented elsewhere; a thread here hands them out."""

    def __init__(self, job: AnyJob, client: Client, writer: FrameWriter | None) -> None:
        self._client = client
        self._writer = writer
        self._workers, self._asked = 0, -math.inf
        self._standstill = StandstillWatch(client)
        self._room_for_results = threading.Semaphore(UNREAD)
        super().__init__(job)

    def _tell_frame(self, event: Event) -> None:
        """Wait for room, then tell of a frame; one that is there is told of though cancelled."""
        if isinstance(event, FrameResult):
            while not self._room_for_results.acquire(timeout=0.2):
                if self._control.cancelled or self._client.status == "closed":
                    break
        super()._tell_frame(event)

    def _seen(self, event: Event) -> Event:
        if isinstance(event, FrameResult):
            self._room_for_results.release()
        return super()._seen(event)

    def _segment(self, job: Job) -> None:
        frames, indices = plan(job)
        self._total = len(indices)
        self._report("Sampling intensities")
        normalisation = normalisation_of(job, frames)
        stack = described(job.data)
        sent = replace(
            job,
            data=stack,
            axes=frames.axes,
            model=_absolute(job.model),
            normalisation=normalisation,
        )
        self._report("Waiting for a worker")
        # Not scattered: a task is done again when all workers that had its result are lost.
        order = self._submit(keep, Order.of(uuid.uuid4().hex, sent, self._writer))
        # By all of them at once: those that waited for the first would only learn afterwards.
        learning = [self._submit(learn, order, on=w) for w in self._client.nthreads() or [None]]
        choices, surveying = self._next(learning)
        self._queue.put(Learned(choices))
        if self._writer is not None:
            self._writer.open()
        self._report("Segmenting")
        whole_frames = max(frames.frame_shape) <= check_tile(job.tile)

        def pixels(index: int) -> Any:
            return frames[index] if stack is None else None

        if whole_frames:
            tasks = ((segment_frame, order, index, pixels(index)) for index in indices)
            for event in self._results(tasks):
                self._tell_frame(event)
            return
        for index in indices:
            logits = self._large_frame(job, order, index, pixels(index), frames, surveying)
            self._tell_frame(self._finished(job, index, logits))

    def _large_frame(
        self,
        job: Job,
        order: Future[Any],
        index: int,
        pixels: NDArray[Any] | None,
        frames: Frames,
        surveying: bool,  # noqa: FBT001
    ) -> NDArray[np.float32]:
        """Logits of a frame whose tiles are tasks."""
        size, tile = frames.frame_shape, check_tile(job.tile)
        survey = None
        if surveying:
            glimpses = [
                self._submit(glimpse_tile, order, index, look, _cut(pixels, look))
                for look in looks(size, tile)
            ]
            survey = self._submit(gather, order, glimpses)
        spans = tiles_of(size, tile, WIDE_OVERLAP if surveying else OVERLAP)
        tiles = [Tile(r.pixels, c.pixels, place(r.pixels, c.pixels, size)) for r, c in spans]
        results = self._results(
            (segment_tile, order, index, number, one, survey, _cut(pixels, one))
            for number, one in enumerate(tiles)
        )
        return add_up(size, spans, _in_order(results))

    def _finished(
        self, job: Job, index: int, logits: NDArray[np.float32]
    ) -> FrameResult | FrameWritten:
        """The event of a frame whose tiles have come together here."""
        import torch

        from napari_vrp_sam.inference.class_labels import labels_from_probabilities

        probabilities = torch.from_numpy(logits).sigmoid_().numpy()
        class_ids = sorted({reference.class_id for reference in job.references})
        labels = labels_from_probabilities(probabilities, class_ids)
        result = frame_result(index, labels, probabilities, class_ids, job)
        if self._writer is None:
            return result
        self._writer.write(index, labels)
        return FrameWritten(index, labels_checksum(labels), result.confidence)

    def _results(self, tasks: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Results of tasks as they come; a few are handed out ahead.

        A task is what to call, and with what.
        """
        pending: list[Future[Any]] = []
        try:
            for task in tasks:
                while len(pending) >= self._room():
                    yield self._next(pending)
                pending.append(self._submit(*task))
            while pending:
                yield self._next(pending)
        finally:
            self._client.cancel(pending)

    def _submit(
        self, task: Callable[..., Any], *arguments: Any, on: str | None = None
    ) -> Future[Any]:
        """Hand out a task, preferably to a certain worker."""
        import dask

        options = {} if on is None else {"workers": [on], "allow_other_workers": True}
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            return self._client.submit(task, *arguments, pure=False, **options)

    def _next(self, pending: list[Future[Any]]) -> Any:
        """Wait for any of the tasks, take it off the list, and give its result."""
        from distributed import CancelledError, KilledWorker, wait

        while True:
            self._control.check()
            try:
                done = wait(pending, timeout=0.2, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                self._standstill.check()
                continue
            self._standstill.result_came()
            future = done.pop()
            pending.remove(future)
            try:
                return future.result()
            except KilledWorker as error:
                raise InputError(
                    "One frame has ended several workers, perhaps because their memory ran out: "
                    "give each more, start fewer on a machine, or use smaller tiles."
                ) from error
            except CancelledError as error:
                raise InputError(
                    "The scheduler has gone away, or has forgotten this run: what is finished is "
                    "kept; start it again."
                ) from error

    def _room(self) -> int:
        """How many frames may be under way; workers come and go."""
        if time.monotonic() > self._asked + 5:
            self._asked = time.monotonic()
            self._workers = len(self._client.nthreads())
        return AHEAD * max(self._workers, 1)


def _cut(pixels: NDArray[Any] | None, part: Look | Tile) -> NDArray[Any] | None:
    return None if pixels is None else pixels[part.rows, part.columns]


def _in_order(results: Iterable[tuple[int, NDArray[np.float32]]]) -> Iterator[NDArray[np.float32]]:
    """Numbered results by their numbers: sums depend on the order."""
    early: dict[int, NDArray[np.float32]] = {}
    following = 0
    for number, result in results:
        early[number] = result
        while following in early:
            yield early.pop(following)
            following += 1


def _absolute(model: Any) -> Any:
    """A model's file as workers in other folders find it; names stay as they are."""
    is_file = isinstance(model, str | Path) and Path(model).is_file()
    return Path(model).absolute() if is_file else model
