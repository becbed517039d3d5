"""Do a segmentation job: load the model, learn the references, predict frame by frame."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING

from napari_vrp_sam.inference.prediction.predictor_cache import load_predictor
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import Event, FrameResult, Learned, Progress
from napari_vrp_sam.inference.runs.reporting import ReportProgress, progress_events
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob, normalisation_of, plan

if TYPE_CHECKING:
    from napari_vrp_sam.inference.prediction.predictor import Predictor
    from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache


def segmentation_events(
    job: SegmentationJob, control: Control, cache: PredictorCache | None = None
) -> Generator[Event]:
    """Segment the frames of a job; see `Job.events`.

    Yields
    ------
    Progress
        In words, before the first frame and after each one.
    Learned
        Before the first frame.
    FrameResult
        Frames nearest to an annotated one first.
    """
    frames, indices = plan(job)
    total = len(indices)
    yield Progress(0, total, "Loading the model")

    def load(report: ReportProgress) -> Predictor:
        def in_words(message: str) -> None:
            report(Progress(0, total, message))

        # torch takes seconds to import: not before the job is known to make sense.
        return cache.predictor(job, in_words) if cache else load_predictor(job, in_words)

    predictor = yield from progress_events(load, control)
    control.check()
    yield Progress(0, total, "Sampling intensities")
    normalisation = normalisation_of(job, frames)
    control.check()
    yield Progress(0, total, "Learning from the annotations")
    predictor.set_references(job.references, normalisation)
    yield Learned(predictor.calibrations)
    control.check()
    yield Progress(0, total, "Segmenting")
    wanted = (frames[index] for index in indices)
    with closing(predictor.predict_stream(wanted, probabilities=job.probabilities)) as predictions:
        for done, (index, prediction) in enumerate(zip(indices, predictions, strict=True), start=1):
            yield FrameResult(
                index, prediction.labels, prediction.confidence, prediction.probabilities
            )
            yield Progress(done, total, f"Frame {done} of {total}")
            if done < total:  # a run that is cancelled after its last frame is done all the same
                control.check()
