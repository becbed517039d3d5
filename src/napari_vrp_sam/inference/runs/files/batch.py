"""One annotation for many files: each is segmented with the references of one job."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import rename
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.runs.control import Control, StopRunError
from napari_vrp_sam.inference.runs.events import Event, FrameResult, FrameResumed, FrameWritten
from napari_vrp_sam.inference.runs.files.dispatch import segment_to
from napari_vrp_sam.inference.runs.files.file_result import (
    FileFinished,
    FileResult,
    FileStarted,
    write_summary,
)
from napari_vrp_sam.inference.runs.files.output import OutputWriter, RunOutput
from napari_vrp_sam.wording import count

if TYPE_CHECKING:
    from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

logger = logging.getLogger(__name__)

INCOMPLETE = "_incomplete"
"""Added to the name of a file that lacks frames, which a later run must not take for finished."""


def segment_files(
    job: SegmentationJob,
    images: Sequence[Path],
    labels: Sequence[Path],
    *,
    summary: Path | None = None,
    image_number: int | str | None = None,
    nodata: float | None = None,
    resume: bool = False,
    cache: PredictorCache | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    control: Control | None = None,
) -> Generator[Event]:
    """Segment files one after the other; a bad file does not stop the others.

    Parameters
    ----------
    job : SegmentationJob
        References and settings; its normalisation is used for all files.
    images, labels : sequence of Path
        Images, and where to write the labels of each; see `plan_files`.
    summary : Path, optional
        CSV file of the results so far, written after each file.
    image_number, nodata, resume, cache, workers, scheduler, control
        See `segment_file`.

    Yields
    ------
    Event
        `FileStarted`, the events of the file without its labels, and `FileFinished`.

    Raises
    ------
    StopRunError
        If the run was cancelled.
    """
    from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache

    cache = cache or PredictorCache(0)
    results: list[FileResult] = []
    for number, (image, target) in enumerate(zip(images, labels, strict=True), start=1):
        yield FileStarted(number, len(images), image)
        target.parent.mkdir(parents=True, exist_ok=True)
        steps = segment_file(
            job,
            image,
            target,
            image_number=image_number,
            nodata=nodata,
            resume=resume,
            cache=cache,
            workers=workers,
            scheduler=scheduler,
            control=control,
        )
        with closing(steps):
            result = yield from _without_frames(steps)
        results.append(result)
        if summary is not None:
            write_summary(summary, results)
        yield FileFinished(result)


def segment_file(
    job: SegmentationJob,
    image: Path,
    labels: Path,
    *,
    image_number: int | str | None = None,
    nodata: float | None = None,
    resume: bool = False,
    cache: PredictorCache | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    control: Control | None = None,
) -> Generator[Event, None, FileResult]:
    """Segment a file with the references and settings of a job; a bad file does not raise.

    Parameters
    ----------
    job : SegmentationJob
        Its axes are those of the file, if both have as many; its nodata applies to files that state
        none.
    image : Path
        Any image that `io.images.opening.open_image` reads.
    labels : Path
        Where to write the labels. A file that is interrupted becomes NAME_incomplete.
    image_number : int or str, optional
        Image of a file that holds several.
    nodata : float, optional
        Value of missing pixels; default: what the file states.
    resume : bool
        Skip a file whose labels are complete, and resume an interrupted one.
    cache : PredictorCache, optional
        Model of earlier files.
    workers, scheduler, control
        See `segment_to`.

    Yields
    ------
    Event

    Returns
    -------
    FileResult

    Raises
    ------
    StopRunError
        If the run was cancelled.
    """
    from napari_vrp_sam.io.images.opening import open_image
    from napari_vrp_sam.io.images.stacks import frame_files
    from napari_vrp_sam.io.labels.writers import is_incremental

    found: dict[int, float] = {}
    wanted: set[int] = set()
    finished: set[int] = set()
    segmented = 0

    def note(writer: OutputWriter) -> None:
        found.update(writer.confidence)
        wanted.update(writer.indices)
        finished.update(wanted & writer.finished.keys())

    try:
        if resume and labels.exists() and not is_incremental(labels):
            return FileResult(image, labels, "skipped")
        stored = open_image(image, image=image_number)
        axes = stored.axes
        if axes is None and len(job.axes or "") == len(stored.data.shape):
            axes = job.axes
        given = nodata, stored.metadata.nodata, job.nodata
        nodata = next((value for value in given if value is not None), None)
        stack = Frames(stored.data, axes, job.channels, nodata=nodata)
        check_channels(job, stack, str(image))
        own = replace(
            job, data=stored.data, axes=stack.axes, nodata=nodata, references_on_stack=False
        )
        sources = frame_files(image)
        output = RunOutput(
            labels,
            names=[file.stem for file in sources],
            resume=resume and labels.exists(),
            metadata=stored.metadata,
            sources=sources,
        )
        for event in segment_to(
            own,
            stack,
            output,
            workers=workers,
            scheduler=scheduler,
            cache=cache,
            control=control,
            close=note,
        ):
            segmented += isinstance(event, FrameResult | FrameWritten)
            yield event
    except StopRunError:
        raise
    except Exception as error:  # the other files can still be segmented
        if not isinstance(error, InputError):
            logger.exception("%s could not be segmented", image)
            error = InputError(f"Unexpected error ({type(error).__name__}: {error}).")
        return FileResult(image, labels, "failed", message=str(error))
    finally:
        if finished < wanted and finished and not is_incremental(labels):
            rename(labels, incomplete_path(labels))
    incomplete_path(labels).unlink(missing_ok=True)
    confidence = float(np.mean(list(found.values()))) if found else None
    return FileResult(
        image, labels, "segmented" if segmented else "skipped", len(finished), confidence
    )


def incomplete_path(labels: Path) -> Path:
    """Return where a file of labels is kept that lacks frames, because its run was interrupted."""
    return labels.with_name(f"{labels.stem}{INCOMPLETE}{labels.suffix}")


def check_channels(job: SegmentationJob, stack: Frames, name: str) -> None:
    """Raise an `InputError` if a stack has other channels than the references of a job."""
    projected = job.normalisation is not None and bool(job.normalisation.projection)
    compare_channels(stack, job.references[0].image.shape[-1], name, projected=projected)


def compare_channels(stack: Frames, used: int, name: str, *, projected: bool) -> None:
    """Raise an `InputError` if the number of channels differs from that of the annotations.

    Without a projection, models use three channels at most, so further ones do not matter.
    """
    most = used if projected else 3
    if min(len(stack.channels), most) != min(used, most):
        raise InputError(
            f"{name} has {count(len(stack.channels), 'channel')}, but the annotations use {used}: "
            "give an image with the same channels."
        )


def _without_frames(
    steps: Generator[Event, None, FileResult],
) -> Generator[Event, None, FileResult]:
    """Yield the events of a file except its labels, which are in the file."""
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            result: FileResult = end.value
            return result
        if not isinstance(event, FrameResult | FrameWritten | FrameResumed):
            yield event
