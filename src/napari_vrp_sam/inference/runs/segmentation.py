"""Do a segmentation job: load the model, learn the references, predict frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.inference.normalisation import NO_CONTRAST
from napari_vrp_sam.inference.out_of_core.scratch import release_memory
from napari_vrp_sam.inference.prediction.predictor_cache import load_predictor
from napari_vrp_sam.inference.prediction.tiles.tiling import TileProgress
from napari_vrp_sam.inference.relabelling.levels import CompressedLevels, quantise_frame
from napari_vrp_sam.inference.relabelling.relabel import relabel_frame
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import (
    Event,
    FrameResult,
    Learned,
    Loaded,
    Progress,
    RunWarning,
    frame_progress,
)
from napari_vrp_sam.inference.runs.reporting import (
    LOADING,
    ReportProgress,
    download_progress,
    progress_events,
)
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob, normalisation_of, plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vrp_sam.annotations.reference import Reference
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.normalisation import Normalisation
    from napari_vrp_sam.inference.prediction.outputs import FramePrediction
    from napari_vrp_sam.inference.prediction.predictor import Predictor
    from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
    from napari_vrp_sam.inference.prediction.smoothing.logit_source import LogitSource
    from napari_vrp_sam.inference.prediction.smoothing.stack_smoothing import StackSmoother

LARGEST_SMOOTHED = 1 << 24
"""Number of pixels of a frame above which several do not fit into memory at once."""


def model_events(
    job: SegmentationJob, total: int, control: Control, cache: PredictorCache | None = None
) -> Generator[Event, None, Predictor]:
    """Load the model of a job for a run with a number of frames."""
    yield Progress(0, total, LOADING, "loading")

    def load(report: ReportProgress) -> Predictor:
        # torch takes seconds to import: not before the job is known to make sense.
        download = download_progress(report, total)
        return cache.predictor(job, download) if cache else load_predictor(job, download)

    predictor = yield from progress_events(load, control)
    from napari_vrp_sam.models.devices import device_name

    yield Loaded(str(predictor.device), device_name(predictor.device))
    control.check()
    return predictor


def loading_events(
    job: SegmentationJob,
    frames: Frames,
    total: int,
    control: Control,
    cache: PredictorCache | None = None,
) -> Generator[Event, None, tuple[Predictor, Normalisation]]:
    """Load the model of a job and fit the normalisation.

    Parameters
    ----------
    job : SegmentationJob
    frames : Frames
        Frames of its stack.
    total : int
        Number of frames of the run.
    control : Control
    cache : PredictorCache, optional
    """
    predictor = yield from model_events(job, total, control, cache)
    yield Progress(0, total, "Sampling intensities", "sampling")
    normalisation = normalisation_of(job, frames)
    if normalisation.flat:
        yield RunWarning(NO_CONTRAST)
    control.check()
    return predictor, normalisation


def learning_events(
    job: SegmentationJob,
    predictor: Predictor,
    normalisation: Normalisation,
    total: int,
    control: Control,
) -> Generator[Event]:
    """Learn the references of a job with its effort; can be cancelled at any time."""
    from napari_vrp_sam.models.interruption import interruptible

    yield Progress(0, total, "Learning from the annotations", "learning")
    with interruptible(control.check):
        predictor.set_references(job.references, normalisation, effort=job.effort)
    release_memory()
    yield from memory_events(predictor)
    yield Learned(predictor.calibrations)
    control.check()


def memory_events(predictor: Predictor) -> Generator[Event]:
    """Report what was done since the last call because the memory was full."""
    from napari_vrp_sam.models.devices import device_name

    while predictor.memory_steps:
        step = predictor.memory_steps.pop(0)
        yield RunWarning(step.message)
        if step.cpu:
            yield Loaded(str(predictor.device), device_name(predictor.device))


def segmentation_events(
    job: SegmentationJob, control: Control, cache: PredictorCache | None = None
) -> Generator[Event]:
    """Segment the frames of a job; see `Job.events`.

    Yields
    ------
    Progress
        Before the first frame and after each one, and before each tile of a large frame.
    Loaded
    RunWarning
        If the stack shows no contrast, and whenever the memory was exceeded; the latter is followed
        by `Loaded` if the model moved to the CPU.
    Learned
        Before the first frame.
    FrameResult
        Frames nearest to an annotated one first.
    """
    frames, indices = plan(job)
    total = len(indices)
    predictor, normalisation = yield from loading_events(job, frames, total, control, cache)
    yield from learning_events(job, predictor, normalisation, total, control)
    with closing(frame_events(job, predictor, frames, indices, control)) as events:
        yield from events


def frame_result(index: int, prediction: FramePrediction, job: SegmentationJob) -> FrameResult:
    """Return the result of a frame as the job requests it."""
    found = prediction.probabilities
    labels, levels = prediction.labels, None
    class_ids = class_ids_of(job.references)
    if found is not None and (job.levels or job.relabelling is not None):
        levels = quantise_frame(found)
        if job.relabelling is not None:
            labels = relabel_frame(levels, class_ids, job.relabelling)
    return FrameResult(
        index,
        labels,
        prediction.confidence,
        found if job.probabilities else None,
        CompressedLevels.of(np.asarray(levels)) if job.levels and levels is not None else None,
    )


def stack_smoother(
    job: SegmentationJob,
    source: LogitSource,
    frames: Frames,
    read: Callable[[int], NDArray[Any]] | None = None,
) -> StackSmoother | None:
    """Return the smoother of a job; None if its frames are not averaged with their neighbours."""
    from napari_vrp_sam.inference.prediction.smoothing.stack_smoothing import StackSmoother

    shown = references_to_compare(job, frames)
    if not shown:
        return None
    return StackSmoother(source, read or frames.__getitem__, frames.neighbours, shown)


def references_to_compare(job: SegmentationJob, frames: Frames) -> list[Reference]:
    """Return the references that can be compared with neighbours; none if the job uses none."""
    large = prod(frames.frame_shape) > LARGEST_SMOOTHED
    if not job.neighbours or large or not frames.neighbours(0):
        return []
    return [r for r in job.references if r.frame is not None and r.frame < len(frames)]


def frame_events(
    job: SegmentationJob,
    predictor: Predictor,
    frames: Frames,
    indices: Sequence[int],
    control: Control,
) -> Generator[Event]:
    """Predict frames after the references were learned.

    Yields
    ------
    Progress
        Before the first frame and after each one, and before each tile of a large frame.
    FrameResult
        In the order of the indices.
    """
    total = len(indices)
    yield frame_progress(0, total)
    wanted = (frames.frame(index) for index in indices)
    done = 0
    smoother = stack_smoother(job, predictor, frames)
    with closing(
        predictor.predict_stream(wanted, probabilities=job.needs_probabilities, tiles=True)
        if smoother is None
        else smoother.stream(indices, probabilities=job.needs_probabilities)
    ) as predictions:
        for prediction in predictions:
            yield from memory_events(predictor)
            if isinstance(prediction, TileProgress):
                control.check()
                yield frame_progress(done, total, prediction.number, prediction.total)
                continue
            yield frame_result(indices[done], prediction, job)
            done += 1
            yield frame_progress(done, total)
            if done < total:  # a run that is cancelled after its last frame is done all the same
                control.check()
    assert done == total
