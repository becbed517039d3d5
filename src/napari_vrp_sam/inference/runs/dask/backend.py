"""Segmentation on the workers of dask.distributed: each task is some frames, or a tile of one."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.job import Job
from napari_vrp_sam.inference.prediction.tiles.tile_plan import plan_tiles
from napari_vrp_sam.inference.prediction.tiles.tiling import TileProgress
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.dask.content import (
    FrameWriter,
    Neighbourhood,
    PickledJob,
    WorkerState,
)
from napari_vrp_sam.inference.runs.dask.stacks import sendable_stack
from napari_vrp_sam.inference.runs.dask.task_queue import TaskQueue, in_order
from napari_vrp_sam.inference.runs.dask.tasks import (
    frame_context,
    frame_event,
    load_and_learn,
    segment_frames,
    segment_tile,
    share_job,
    tile_context,
)
from napari_vrp_sam.inference.runs.dask.tiled_frames import TiledFrames
from napari_vrp_sam.inference.runs.events import (
    Event,
    FrameResult,
    FrameWritten,
    Learned,
    Progress,
    frame_progress,
)
from napari_vrp_sam.inference.runs.segmentation import references_to_compare, stack_smoother
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob, normalisation_of, plan

if TYPE_CHECKING:
    from distributed import Client, Future
    from numpy.typing import NDArray

    from napari_vrp_sam.inference.out_of_core.frame_view import FrameLike

SMOOTHED_CHUNK = 8
"""Smallest number of consecutive frames per task: the frames around them are computed too."""


class DaskBackend:
    """Submit the frames of one run to workers, or the tiles of its large frames.

    Parameters
    ----------
    client : distributed.Client
    writer : FrameWriter, optional
        Lets the workers write the labels.
    """

    def __init__(self, client: Client, writer: FrameWriter | None) -> None:
        self._writer = writer
        self._tasks = TaskQueue(client)

    def events(self, job: Job, control: Control) -> Generator[Event]:
        """See `RunBackend`; jobs other than segmentation are done in this process."""
        if isinstance(job, SegmentationJob):
            self._tasks.control = control
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
        self._tasks.control.check()
        yield Progress(0, total, "Waiting for a worker", "starting")
        # A task and not scattered data, because a task is repeated if all workers with it are lost.
        around = _neighbourhood(job, frames, sent=stack is not None)
        content = PickledJob.of(uuid.uuid4().hex, sent, self._writer, around)
        pickled = self._tasks.submit(share_job, content)
        # All workers learn at the same time instead of waiting for the first.
        workers: list[str | None] = list(self._tasks.workers())
        learning = [
            self._tasks.submit(load_and_learn, pickled, on=worker) for worker in workers or [None]
        ]
        learned: WorkerState = self._tasks.next_result(learning)
        yield Learned(learned.calibrations)
        if self._writer is not None:
            self._writer.open()
        self._tasks.control.check()
        yield frame_progress(0, total)
        events = self._frames(
            replace(job, normalisation=normalisation),
            pickled,
            frames,
            indices,
            learned,
            sent=stack is not None,
        )
        done = 0
        for event in events:
            if isinstance(event, TileProgress):
                yield frame_progress(done, total, event.number, event.total)
                continue
            yield event
            done += 1
            yield frame_progress(done, total)
            if done < total:  # a run that is cancelled after its last frame is done all the same
                self._tasks.control.check()

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
        if max(frames.frame_shape) > learned.tile_side:
            yield from self._large_frames(job, pickled, frames, indices, learned, sent=sent)
            return
        if learned.smoothed:
            chunks = _consecutive(indices, max(learned.chunk, SMOOTHED_CHUNK))
        else:
            starts = range(0, len(indices), learned.chunk)
            chunks = [indices[at : at + learned.chunk] for at in starts]
        tasks = (
            (
                segment_frames,
                pickled,
                chunk,
                None if sent else _pixels(frames, chunk, around=learned.smoothed),
            )
            for chunk in chunks
        )
        for results in self._tasks.results(tasks):
            yield from results

    def _large_frames(
        self,
        job: SegmentationJob,
        pickled: Future[Any],
        frames: Frames,
        indices: list[int],
        learned: WorkerState,
        *,
        sent: bool,
    ) -> Iterator[FrameResult | FrameWritten | TileProgress]:
        """Yield the results of frames whose tiles are merged here."""

        def merge(index: int) -> Generator[TileProgress, None, Any]:
            pixels = None if sent else frames.frame(index)
            return self._large_frame(pickled, index, pixels, frames, learned)

        source = TiledFrames(job, frames, merge, best_threshold=learned.best_threshold)
        smoother = stack_smoother(job, source, frames, source.read)
        if smoother is None:
            for index in indices:
                prediction = yield from source.prediction(index)
                yield frame_event(index, prediction, job, self._writer)
            return
        left = iter(indices)
        for item in smoother.stream(indices):
            if isinstance(item, TileProgress):
                yield item
            else:
                yield frame_event(next(left), item, job, self._writer)

    def _large_frame(
        self,
        pickled: Future[Any],
        index: int,
        pixels: FrameLike | None,
        frames: Frames,
        learned: WorkerState,
    ) -> Generator[TileProgress, None, Any]:
        """Compute the logits of a frame whose tiles are tasks; yield the progress."""
        tiles = plan_tiles(
            frames.frame_shape, learned.tile_side, context=learned.uses_frame_context
        )
        context = None
        if tiles.context:
            parts = [
                self._tasks.submit(tile_context, pickled, index, tile, _cut(pixels, tile.pixels))
                for tile in tiles.context
            ]
            context = self._tasks.submit(frame_context, pickled, parts)
        results = self._tasks.results(
            (segment_tile, pickled, index, number, tile, context, _cut(pixels, tile.pixels))
            for number, tile in enumerate(tiles.tiles)
        )
        return (yield from tiles.merge(in_order(results)))


def _neighbourhood(job: SegmentationJob, frames: Frames, *, sent: bool) -> Neighbourhood | None:
    """Return the neighbourhood for workers; None if frames are not averaged, or in tiles."""
    from napari_vrp_sam.inference.prediction.smoothing.annotated_frames import measured_frames

    tiled = max(frames.frame_shape) > job.tile_side
    shown = [] if tiled else references_to_compare(job, frames)
    if not shown:
        return None
    annotated = {r.frame for r in shown if r.frame is not None}
    measured = measured_frames(annotated, frames.neighbours)
    needed = {j for index in measured for j in (index, *frames.neighbours(index))}
    pixels = {} if sent else _readable(frames, needed)
    return Neighbourhood({index: frames.neighbours(index) for index in range(len(frames))}, pixels)


def _consecutive(indices: list[int], length: int) -> list[list[int]]:
    """Group frames into blocks of consecutive ones, in the order of their first frames."""
    blocks: dict[int, list[int]] = {}
    for index in indices:
        blocks.setdefault(index // length, []).append(index)
    return [sorted(block) for block in blocks.values()]


def _pixels(frames: Frames, chunk: list[int], *, around: bool) -> dict[int, NDArray[Any]]:
    """Read the frames that a task needs."""
    from napari_vrp_sam.inference.prediction.smoothing.neighbours import frames_around

    if not around:
        return {index: frames[index] for index in chunk}
    own = {index: frames[index] for index in chunk}
    needed = {j for index in chunk for j in frames_around(index, frames.neighbours)}
    return own | _readable(frames, needed - own.keys())


def _readable(frames: Frames, indices: set[int]) -> dict[int, NDArray[Any]]:
    """Read frames that are only neighbours; leave out those that cannot be read."""
    found = {}
    for index in sorted(indices):
        with suppress(Exception):  # an error at its own turn, see `StackSmoother`
            found[index] = frames[index]
    return found


def _cut(pixels: FrameLike | None, part: tuple[slice, slice]) -> NDArray[Any] | None:
    return None if pixels is None else pixels[part]


def _absolute(model: Any) -> Any:
    """Return the absolute path of a model file, for workers in other folders; keep names."""
    is_file = isinstance(model, str | Path) and Path(model).is_file()
    return Path(model).absolute() if is_file else model
