"""Jobs that prepare a worker process while the user still draws."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import Event, Progress
from napari_vrp_sam.inference.runs.segmentation import loading_events, model_events
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

if TYPE_CHECKING:
    from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache


@dataclass(frozen=True, eq=False)
class PrepareJob(SegmentationJob):
    """Load the model; with a `first_frame`, fit the normalisation and encode that frame.

    A segmentation job with the same settings then starts with learning. Without references.
    """

    references: Sequence[Reference] = ()
    patience: ClassVar[float] = 60.0
    handler: ClassVar[str] = "napari_vrp_sam.inference.runs.prepare_job:prepare_events"


def prepare_events(
    job: PrepareJob, control: Control, cache: PredictorCache | None = None
) -> Generator[Event]:
    """Prepare the worker; see `Job.events`.

    Yields
    ------
    Progress
    Loaded
    """
    frames = None if job.first_frame is None else job.view()
    if job.first_frame is None or frames is None or frames.projected:
        # How many channels are projected depends on the annotations.
        yield from model_events(job, 1, control, cache)
    else:
        predictor, normalisation = yield from loading_events(job, frames, 1, control, cache)
        yield Progress(0, 1, "Encoding the frame in view", "loading")
        predictor.encode_ahead(frames[job.first_frame], normalisation)
        control.check()
    # Imported only now, because the preview may already wait.
    import sklearn.ensemble  # noqa: F401
