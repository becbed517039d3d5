"""Snapshot of a run from which it can be resumed, and the job that resumes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.objects.result_settings import ResultSettings
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.io.sessions.references import StoredReference
from napari_vrp_sam.io.sessions.session import Session, Settings
from napari_vrp_sam.io.sessions.unfinished.folder import new_run
from napari_vrp_sam.plugin.layers.stacks import frames_of, nodata_of, stack_data
from napari_vrp_sam.plugin.session.saving import (
    annotation_layers,
    session_classes,
    session_image,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vrp_sam.io.sessions.unfinished.run import UnfinishedRun
    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm

NORMALISATION, PROBABILITIES = "normalisation", "probabilities"
"""Facts of an unfinished run that sessions do not have."""


@dataclass(frozen=True, eq=False)
class RunSnapshot:
    """Copy of everything that is needed to resume a run.

    Attributes
    ----------
    session : Session
    data : array
        The image.
    images : tuple of ndarray, shape (Y, X, C)
        Images of the references, if they show another stack.
    total : int
        Number of frames of the result.
    facts : mapping
        See `UnfinishedRun`.
    """

    session: Session
    data: Any
    images: tuple[NDArray[Any], ...]
    total: int
    facts: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        form: SegmentForm,
        image: Image,
        job: SegmentationJob,
        *,
        accepted: Mapping[int, NDArray[Any]],
        clean_up: ResultSettings,
        total: int,
    ) -> RunSnapshot:
        """Copy the inputs of a job on an image, which may be another one than that of the form."""
        references = tuple(job.references)
        session = Session(
            image=session_image(image, frames_of(image, job.axes).axes),
            settings=Settings(
                model=str(job.model),
                device=job.device,
                frames=job.frames,
                channels=None if job.channels is None else tuple(job.channels),
                tile_size=job.tile_size,
                prompting=job.prompting,
                neighbours=job.neighbours,
                point_radius=form.point_radius,
                clean_up=clean_up.as_dict(),
            ),
            references=[StoredReference.of(reference) for reference in references],
            accepted=accepted,
            classes=session_classes(form),
            layers=annotation_layers(form, lazy=False) if job.references_on_stack else (),
        )
        normalisation = job.normalisation and job.normalisation.to_json()
        facts = {NORMALISATION: normalisation, PROBABILITIES: job.probabilities}
        images = () if job.references_on_stack else tuple(r.image for r in references)
        return cls(session, stack_data(image), images, total, facts)

    def new_run(self) -> UnfinishedRun:
        """Return the run to keep, which is recognised by the annotated frames of the image."""
        annotated = {reference.frame for reference in self.session.references}
        indices = {0} if self.images else annotated
        return new_run(self.session.image, self.data, indices, self.total, self.facts)


def resumed_job(
    run: UnfinishedRun, session: Session, image: Image, finished: Collection[int]
) -> SegmentationJob:
    """Return the job that segments the remaining frames of a run.

    Parameters
    ----------
    run : UnfinishedRun
    session : Session
        Its session.
    image : Image
    finished : collection of int
        Frames that have a result.

    Raises
    ------
    InputError
        If the run is damaged.
    """
    settings = session.settings
    frames = frames_of(image, run.image.axes, settings.channels)
    images = run.reference_images()
    references = [
        reference.on(images[number] if images else frames[reference.frame])
        for number, reference in enumerate(session.references)
    ]
    normalisation = run.facts[NORMALISATION]
    return SegmentationJob(
        stack_data(image),
        references=references,
        axes=run.image.axes,
        channels=settings.channels,
        nodata=nodata_of(image),
        model=settings.model,
        device=settings.device,
        frames=settings.frames,
        tile_size=settings.tile_size,
        prompting=settings.prompting,
        neighbours=settings.neighbours,
        relabelling=ResultSettings.from_dict(settings.clean_up).of_run,
        accepted=frozenset({*session.accepted, *finished}),
        references_on_stack=not images,
        normalisation=normalisation and Normalisation.from_json(normalisation),
        probabilities=bool(run.facts[PROBABILITIES]),
        levels=True,
    )
