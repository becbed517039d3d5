"""Jobs that segment many files with one annotation."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from napari_vrp_sam.inference.job import Job, no_stack
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import Event
from napari_vrp_sam.inference.runs.files.batch import segment_files
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

if TYPE_CHECKING:
    from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache


@dataclass(frozen=True, eq=False)
class BatchJob(Job):
    """Segment files, which the process that does the job opens and writes itself.

    Attributes
    ----------
    job : SegmentationJob
        References, settings and normalisation, without a stack.
    images, labels : sequence of Path
    summary : Path, optional
    image_number : int or str, optional
    resume : bool
        See `segment_files`.
    """

    # The frame in progress is finished, so that nothing unfinished remains beside the labels.
    patience: ClassVar[float] = 30.0
    handler: ClassVar[str] = "napari_vrp_sam.inference.runs.files.batch_job:batch_events"
    data: Any = field(default_factory=no_stack)
    _: KW_ONLY
    job: SegmentationJob
    images: Sequence[Path]
    labels: Sequence[Path]
    summary: Path | None = None
    image_number: int | str | None = None
    resume: bool = False
    axes: str | None = None
    channels: Sequence[int] | None = None


def batch_events(
    job: BatchJob, control: Control, cache: PredictorCache | None = None
) -> Generator[Event]:
    """Segment the files of a job; see `segment_files`."""
    yield from segment_files(
        job.job,
        job.images,
        job.labels,
        summary=job.summary,
        image_number=job.image_number,
        resume=job.resume,
        cache=cache,
        control=control,
    )
