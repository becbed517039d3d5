"""An engine on the workers of dask.distributed: each task is some frames, or a tile of one."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.job import Job
from napari_vrp_sam.inference.prediction.tile_plan import plan_tiles
from napari_vrp_sam.inference.prediction.tiling import TileProgress, check_tile
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.dask.cluster import local_cluster
from napari_vrp_sam.inference.runs.dask.paused_workers import PausedWorkerWatch
from napari_vrp_sam.inference.runs.dask.stacks import sendable_stack
from napari_vrp_sam.inference.runs.dask.tasks import (
    FrameWriter,
    PickledJob,
    WorkerState,
    frame_context,
    frame_event,
    load_and_learn,
    segment_frames,
    segment_tile,
    share_job,
    tile_context,
)
from napari_vrp_sam.inference.runs.engine import Run
from napari_vrp_sam.inference.runs.events import (
    Event,
    FrameResult,
    FrameWritten,
    Learned,
    Progress,
    frame_progress,
)
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob, normalisation_of, plan

if TYPE_CHECKING:
    import numpy as np
    from distributed import Client, Future
    from numpy.typing import NDArray

AHEAD = 2
"""Tasks per worker that are submitted ahead; their results, and frames that have to be sent, are in
memory at the same time."""

UNREAD = 8
"""Largest number of unread results, because workers may be faster than a disk."""

PATIENCE = 10
"""Seconds to wait for an answer of the scheduler."""


class DaskEngine:
    """Run jobs on workers of dask.distributed, each of which holds one model.

    The frames of a lost worker are done by others. Workers must find models and image files under
    the same paths; stacks in memory are sent frame by frame.

    Parameters
    ----------
    workers : int, optional
        Number of workers to start on this machine: one per GPU if there are several and
        dask-cuda is installed, otherwise processes that share the CPU cores.
    scheduler : str, optional
        Address of a scheduler that has workers, tcp://HOST:PORT, instead of `workers`.
    writer : FrameWriter, optional
        Writes labels on the workers; runs then yield `FrameWritten`.

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
            raise InputError(
                "Give either a number of workers to start, or the address of a scheduler."
            )
        if workers is not None and workers < 1:
            raise InputError(f"{workers} workers cannot be started: give 1 or more.")
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError(
                "Workers need dask.distributed, which is not installed: "
                "python -m pip install 'napari-vrp-sam[distributed]'."
            ) from error
        self._writer = writer
        self._cluster = None if workers is None else local_cluster(workers)
        try:
            self._client = Client(self._cluster or scheduler, timeout=PATIENCE)
        except (OSError, ValueError) as error:
            raise InputError(
                f"No dask scheduler answers at {scheduler}: start one with `dask scheduler`, and "
                "workers with `dask worker ADDRESS`."
            ) from error

    def submit(self, job: Job) -> Run:
        """Start a job and return at once; errors in the job arrive as `Failed`.

        The job's model must be a name or a file. Jobs other than segmentation are done here.
        """
        return Run(job, DaskBackend(self._client, self._writer), unread=UNREAD).start()

    def close(self) -> None:
        """Disconnect from the scheduler and end the workers that were started."""
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


class DaskBackend:
    """Submit the frames of one run to workers, or the tiles of its large frames.

    Parameters
    ----------
    client : distributed.Client
    writer : FrameWriter, optional
        Lets the workers write the labels.
    """

    def __init__(self, client: Client, writer: FrameWriter | None) -> None:
        self._client = client
        self._writer = writer
        self._workers, self._asked = 0, -math.inf
        self._paused_workers = PausedWorkerWatch(client)
        self._control = Control()

    def events(self, job: Job, control: Control) -> Generator[Event]:
        """See `RunBackend`; jobs other than segmentation are done in this process."""
        self._control = control
        if isinstance(job, SegmentationJob):
            yield from self._segment(job)
        else:
            yield from job.events(control)

    def control_changed(self, control: Control) -> None:
        """See `RunBackend`; the control is checked whenever a result is awaited."""

    def _segment(self, job: SegmentationJob) -> Generator[Event]:
        frames, indices = plan(job)
        total = len(indices)
        yield Progress(0, total, "Sampling intensities", "sampling")
        normalisation = normalisation_of(job, frames)
        stack = sendable_stack(job.data)
        sent = replace(
            job,
            data=stack,
            axes=frames.axes,
            nodata=frames.nodata,
            model=_absolute(job.model),
            normalisation=normalisation,
        )
        self._control.check()
        yield Progress(0, total, "Waiting for a worker", "starting")
        # A task and not scattered data, because a task is repeated if all workers with it are lost.
        pickled = self._submit(share_job, PickledJob.of(uuid.uuid4().hex, sent, self._writer))
        # All workers learn at the same time instead of waiting for the first.
        learning = [
            self._submit(load_and_learn, pickled, on=w) for w in self._client.nthreads() or [None]
        ]
        learned: WorkerState = self._next(learning)
        yield Learned(learned.calibrations)
        if self._writer is not None:
            self._writer.open()
        self._control.check()
        yield frame_progress(0, total)
        events = self._frames(job, pickled, frames, indices, learned, sent=stack is not None)
        done = 0
        for event in events:
            if isinstance(event, TileProgress):
                yield frame_progress(done, total, event.number, event.total)
                continue
            yield event
            done += 1
            yield frame_progress(done, total)
            if done < total:  # a run that is cancelled after its last frame is done all the same
                self._control.check()

    def _frames(
        self,
        job: SegmentationJob,
        pickled: Future[Any],
        frames: Frames,
        indices: list[int],
        learned: WorkerState,
        *,
        sent: bool,
    ) -> Iterator[FrameResult | FrameWritten | TileProgress]:
        """Yield the results of frames as they come; the tiles of large frames are merged here."""

        def pixels(index: int) -> Any:
            return None if sent else frames[index]

        if max(frames.frame_shape) > check_tile(job.tile_size):
            for index in indices:
                logits = yield from self._large_frame(
                    job, pickled, index, pixels(index), frames, learned
                )
                yield self._finished(job, index, logits, learned)
            return
        chunks = [indices[at : at + learned.chunk] for at in range(0, len(indices), learned.chunk)]
        tasks = (
            (segment_frames, pickled, chunk, None if sent else [frames[index] for index in chunk])
            for chunk in chunks
        )
        for results in self._results(tasks):
            yield from results

    def _large_frame(
        self,
        job: SegmentationJob,
        pickled: Future[Any],
        index: int,
        pixels: NDArray[Any] | None,
        frames: Frames,
        learned: WorkerState,
    ) -> Generator[TileProgress, None, NDArray[np.float32]]:
        """Compute the logits of a frame whose tiles are tasks; yield the progress."""
        tiles = plan_tiles(
            frames.frame_shape, check_tile(job.tile_size), context=learned.uses_frame_context
        )
        context = None
        if tiles.context:
            parts = [
                self._submit(tile_context, pickled, index, tile, _cut(pixels, tile.pixels))
                for tile in tiles.context
            ]
            context = self._submit(frame_context, pickled, parts)
        results = self._results(
            (segment_tile, pickled, index, number, tile, context, _cut(pixels, tile.pixels))
            for number, tile in enumerate(tiles.tiles)
        )
        return (yield from tiles.merge(_in_order(results)))

    def _finished(
        self,
        job: SegmentationJob,
        index: int,
        logits: NDArray[np.float32],
        learned: WorkerState,
    ) -> FrameResult | FrameWritten:
        """Return the event of a frame whose tiles were merged here."""
        import torch

        from napari_vrp_sam.inference.prediction.outputs import predict_from_probabilities
        from napari_vrp_sam.models.decision import shift_to_best_threshold

        whole = torch.from_numpy(logits)
        if learned.best_threshold:
            shift_to_best_threshold(whole)
        probabilities = whole.sigmoid_().numpy()
        prediction = predict_from_probabilities(probabilities, class_ids_of(job.references))
        return frame_event(index, prediction, job, self._writer)

    def _results(self, tasks: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Yield the results of tasks as they come; some tasks are submitted ahead.

        A task is a function and its arguments.
        """
        pending: list[Future[Any]] = []
        try:
            for task in tasks:
                while len(pending) >= self._most_pending():
                    yield self._next(pending)
                pending.append(self._submit(*task))
            while pending:
                yield self._next(pending)
        finally:
            self._client.cancel(pending)

    def _submit(
        self, task: Callable[..., Any], *arguments: Any, on: str | None = None
    ) -> Future[Any]:
        """Submit a task, preferably to a certain worker."""
        import dask

        options = {} if on is None else {"workers": [on], "allow_other_workers": True}
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            return self._client.submit(task, *arguments, pure=False, **options)

    def _next(self, pending: list[Future[Any]]) -> Any:
        """Wait for any of the tasks, remove it from the list, and return its result."""
        from distributed import CancelledError, KilledWorker, wait

        while True:
            self._control.check()
            try:
                done = wait(pending, timeout=0.2, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                self._paused_workers.check()
                continue
            self._paused_workers.reset()
            future = done.pop()
            pending.remove(future)
            try:
                return future.result()
            except KilledWorker as error:
                raise InputError(
                    "Several workers died on the same frame, perhaps because they ran out of "
                    "memory: give each more memory, start fewer per machine, or use smaller tiles."
                ) from error
            except CancelledError as error:
                raise InputError(
                    "The connection to the scheduler was lost: finished frames are kept; start the "
                    "run again."
                ) from error

    def _most_pending(self) -> int:
        """Return how many tasks may be pending; workers come and go."""
        if time.monotonic() > self._asked + 5:
            self._asked = time.monotonic()
            self._workers = len(self._client.nthreads())
        return AHEAD * max(self._workers, 1)


def _cut(pixels: NDArray[Any] | None, part: tuple[slice, slice]) -> NDArray[Any] | None:
    return None if pixels is None else pixels[part]


def _in_order(results: Iterable[tuple[int, NDArray[np.float32]]]) -> Iterator[NDArray[np.float32]]:
    """Yield numbered results in order, because sums of floats depend on it."""
    early: dict[int, NDArray[np.float32]] = {}
    following = 0
    for number, result in results:
        early[number] = result
        while following in early:
            yield early.pop(following)
            following += 1


def _absolute(model: Any) -> Any:
    """Return the absolute path of a model file, for workers in other folders; keep names."""
    is_file = isinstance(model, str | Path) and Path(model).is_file()
    return Path(model).absolute() if is_file else model
