"""Jobs that find the objects of a segmented stack."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.job import Job
from napari_vrp_sam.inference.objects.find import Objects, find_objects
from napari_vrp_sam.inference.objects.instances import (
    sampled_frames,
    split_instances,
    typical_sizes,
)
from napari_vrp_sam.inference.objects.settings import ObjectSettings
from napari_vrp_sam.inference.runs.events import Event, FrameResult, ObjectsFound, Progress
from napari_vrp_sam.inference.runs.reporting import ReportProgress, progress_events
from napari_vrp_sam.io.metadata import ImageMetadata

if TYPE_CHECKING:
    from napari_vrp_sam.inference.runs.control import Control


@dataclass(frozen=True, eq=False)
class ObjectsJob(Job):
    """Find the objects of a segmented stack.

    Attributes
    ----------
    data : array or None
        The image, as `Frames` takes it, to measure intensities on; it is read frame by frame.
    labels : ndarray of integers, shape of the leading axes + (Y, X)
        Class of each pixel.
    axes : str, optional
        One letter of T, Z, C, Y, X, S for each axis of the image; without an image, of the labels.
    channels : sequence of int, optional
        Channels to measure; default: all.
    settings : ObjectSettings
    confidence : mapping of int to float
        Confidence of frames, by index.
    metadata : ImageMetadata
        Calibration of the image, for physical units.
    """

    handler: ClassVar[str] = "napari_vrp_sam.inference.runs.objects_job:objects_events"
    data: Any
    _: KW_ONLY
    labels: Any
    axes: str | None = None
    channels: Sequence[int] | None = None
    settings: ObjectSettings = field(default_factory=ObjectSettings)
    confidence: Mapping[int, float] = field(default_factory=dict)
    metadata: ImageMetadata = field(default_factory=ImageMetadata)


def objects_events(job: ObjectsJob, control: Control, _cache: object = None) -> Generator[Event]:
    """Find the objects of a job; see `Job.events`.

    Yields
    ------
    Progress
    ObjectsFound
        The result, when the objects of all frames are linked.
    """

    def find(report: ReportProgress) -> Objects:
        return find_objects(
            job.labels,
            job.data,
            axes=job.axes,
            channels=job.channels,
            settings=job.settings,
            confidence=job.confidence,
            metadata=job.metadata,
            report=lambda done, total, message: report(
                Progress(done, total, message, "finding objects")
            ),
        )

    objects = yield from progress_events(find, control)
    yield ObjectsFound(objects)


@dataclass(frozen=True, eq=False)
class ObjectsPreviewJob(Job):
    """Find the objects of one frame of a segmented stack, as an `ObjectsJob` does.

    Attributes
    ----------
    data : array of integers, shape of the leading axes + (Y, X)
        Class of each pixel; only the frame and a sample of the others are read.
    axes : str
        One letter of T, Z, Y, X for each axis.
    index : int
        Index of the frame in the stack.
    settings : ObjectSettings
    """

    handler: ClassVar[str] = "napari_vrp_sam.inference.runs.objects_job:preview_events"
    data: Any
    _: KW_ONLY
    axes: str | None
    index: int
    settings: ObjectSettings = field(default_factory=ObjectSettings)
    channels: Sequence[int] | None = None


def preview_events(
    job: ObjectsPreviewJob, control: Control, _cache: object = None
) -> Generator[Event]:
    """Find the objects of one frame; see `Job.events`.

    Yields
    ------
    FrameResult
        Its labels are the ids of objects on the frame.
    """
    frames = Frames(job.data, job.axes)

    def sample() -> Iterator[Any]:
        for index in sampled_frames(len(frames)):
            control.check()
            yield frames[index][..., 0]

    typical = typical_sizes(sample(), job.settings)
    found = split_instances(frames[job.index][..., 0], job.settings, typical)
    yield FrameResult(job.index, found.labels)
