"""Run a job in this process or on workers, and write its results as they come."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import exclusive
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.engine import RunFailedError
from napari_vrp_sam.inference.runs.events import Event, Failed, FrameResult, FrameWritten, Progress
from napari_vrp_sam.inference.runs.files.output import OutputWriter, RunOutput

if TYPE_CHECKING:
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
    from napari_vrp_sam.inference.runs.dask.content import FrameWriter
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob


def segment_to(
    job: SegmentationJob,
    frames: Frames,
    output: RunOutput,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    cache: PredictorCache | None = None,
    control: Control | None = None,
    close: Callable[[OutputWriter], None] | None = None,
) -> Generator[Event]:
    """Segment a stack and write the results as they come; finished frames are always kept.

    Parameters
    ----------
    job : SegmentationJob
    frames : Frames
        Its stack.
    output : RunOutput
    workers : int, optional
        Number of worker processes to start; default: this process does the work.
    scheduler : str, optional
        Address of a dask scheduler whose workers do the work.
    cache : PredictorCache, optional
        Model, references and features of earlier jobs, for work in this process.
    control : Control, optional
        Pauses and cancels work in this process.
    close : callable, optional
        Called with the writer when its results are complete on disk, also after an error.

    Yields
    ------
    Event
        Progress counts the frames that an interrupted run has finished.

    Raises
    ------
    InputError
        If job and output do not fit, or the interrupted run to resume is another one.
    RunFailedError
        If the run failed for another reason.
    """
    message = (
        f"{output.labels} is being written by another window or process: wait until it ends, or "
        "choose another output."
    )
    with (
        exclusive(output.labels, message),
        closing(
            _written_events(
                job,
                frames,
                output,
                workers=workers,
                scheduler=scheduler,
                cache=cache,
                control=control,
                close=close,
            )
        ) as events,
    ):
        yield from events


def _written_events(
    job: SegmentationJob,
    frames: Frames,
    output: RunOutput,
    *,
    workers: int | None,
    scheduler: str | None,
    cache: PredictorCache | None,
    control: Control | None,
    close: Callable[[OutputWriter], None] | None,
) -> Generator[Event]:
    from napari_vrp_sam.inference.runs.segmentation_job import normalisation_of

    writer = OutputWriter(job, frames, output)
    earlier = len(writer.finished.keys() & set(writer.indices))
    try:
        yield from writer.resumed
        if earlier < len(writer.indices):
            normalisation = writer.normalisation or normalisation_of(job, frames)
            writer.begin(normalisation)
            job = replace(
                job,
                accepted={*job.accepted, *writer.finished},
                normalisation=normalisation,
                probabilities=job.probabilities or output.probabilities is not None,
            )
            distributed = workers is not None or scheduler is not None
            shared = writer.shared_writer() if distributed else None
            for event in job_events(
                job,
                workers=workers,
                scheduler=scheduler,
                writer=shared,
                cache=cache,
                control=control,
            ):
                if isinstance(event, FrameResult | FrameWritten):
                    writer.add(event)
                if isinstance(event, Progress):
                    done, total = event.done + earlier, event.total + earlier
                    yield replace(event, done=done, total=total)
                else:
                    yield event
    finally:
        writer.close()
        if close is not None:
            close(writer)


def job_events(
    job: SegmentationJob,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    writer: FrameWriter | None = None,
    cache: PredictorCache | None = None,
    control: Control | None = None,
) -> Generator[Event]:
    """Yield the events of a job that is done in this process or on workers.

    Raises
    ------
    InputError
        If the job cannot be done as it stands.
    RunFailedError
        If it failed for another reason on the workers.
    """
    if workers is None and scheduler is None:
        yield from job.events(control or Control(), cache)
        return
    from napari_vrp_sam.inference.runs.dask.engine import DaskEngine

    with DaskEngine(workers=workers, scheduler=scheduler, writer=writer) as engine:
        for event in engine.submit(job).events():
            if isinstance(event, Failed):
                raise RunFailedError(event) if event.detail else InputError(event.message)
            yield event
