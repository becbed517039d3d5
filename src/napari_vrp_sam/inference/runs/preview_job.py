"""Jobs that segment a frame while the user annotates: a quick result first, then the final one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import Event
from napari_vrp_sam.inference.runs.segmentation import (
    frame_events,
    learning_events,
    loading_events,
)
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob, plan

if TYPE_CHECKING:
    from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache

PREVIEW_EFFORT = 0.2
"""Effort of learning for the quick result."""


@dataclass(frozen=True, eq=False)
class PreviewJob(SegmentationJob):
    """Segment a few frames twice: after learning with little effort, and with the job's effort.

    What was learned for the final result, and the features of the frames, serve the run that
    follows. Models that ignore the effort give only one result.
    """

    patience: ClassVar[float] = 60.0
    handler: ClassVar[str] = "napari_vrp_sam.inference.runs.preview_job:preview_events"


def preview_events(
    job: PreviewJob, control: Control, cache: PredictorCache | None = None
) -> Generator[Event]:
    """Segment the frames of a job twice; see `Job.events`.

    Yields
    ------
    Progress
    Loaded
    Learned, FrameResult
        Quick, then final.
    """
    # Neighbours would have to be computed first.
    job = replace(job, neighbours=False)
    frames, indices = plan(job)
    total = len(indices)
    predictor, normalisation = yield from loading_events(job, frames, total, control, cache)
    quick = replace(job, effort=min(PREVIEW_EFFORT, job.effort))
    final = not predictor.model.uses_effort or predictor.has_learned(
        job.references, normalisation, effort=job.effort
    )
    for one in (job,) if final or quick.effort == job.effort else (quick, job):
        yield from learning_events(one, predictor, normalisation, total, control)
        with closing(frame_events(one, predictor, frames, indices, control)) as events:
            yield from events
