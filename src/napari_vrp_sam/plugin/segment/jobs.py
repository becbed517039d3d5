"""Segmentation jobs from the inputs of the form."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.comparison.job import ComparisonJob
from napari_vrp_sam.inference.job import no_stack
from napari_vrp_sam.inference.normalisation import fit_normalisation
from napari_vrp_sam.inference.runs.files.batch import compare_channels
from napari_vrp_sam.inference.runs.prepare_job import PrepareJob
from napari_vrp_sam.inference.runs.preview_job import PreviewJob
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob, plan
from napari_vrp_sam.models.zoo.registry import list_models
from napari_vrp_sam.plugin.layers.annotations import is_lazy
from napari_vrp_sam.plugin.layers.frame_view import frame_in_view, view_problem
from napari_vrp_sam.plugin.layers.stacks import (
    frames_of,
    known_axes,
    nodata_of,
    possible_axes,
    stack_data,
)

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_vrp_sam.annotations.reference import Reference
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings
    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm


PreviewInputs = tuple["Image", "Frames", int, SegmentationJob]
"""Image, its frames, index of the frame in view and the job that segments this frame."""

JobKind = TypeVar("JobKind", bound=SegmentationJob)


class JobFactory:
    """Create jobs from the inputs of the form and the frame in view.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    form : SegmentForm
    relabelling : callable
        Returns the thresholds and the clean-up of the labels; None for the defaults.

    Attributes
    ----------
    loaded : set of str
        Models that a run has loaded, which therefore need no download.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        form: SegmentForm,
        relabelling: Callable[[], RelabelSettings | None],
    ) -> None:
        self._viewer = viewer
        self._form = form
        self._relabelling = relabelling
        self.loaded: set[str] = set()

    def run(
        self, references: list[Reference], accepted: Collection[int], *, probabilities: bool
    ) -> SegmentationJob:
        """Return the job that segments the chosen frames, beginning with the frame in view."""
        return replace(
            self._job(SegmentationJob, references, accepted),
            frames=self._form.frame_range.value(),
            first_frame=self._frame_in_view(),
            probabilities=probabilities,
            levels=True,
        )

    def preview(self) -> Callable[[], PreviewInputs]:
        """Return a function that makes the job for the frame in view; any thread may call it.

        The function raises `InputError` if the annotations cannot be used.

        Raises
        ------
        InputError
            If there is nothing to preview.
        """
        image = self._form.image
        if not self._is_available(self._form.model_box.model):
            raise InputError("The model may have to be downloaded: press Segment stack once.")
        if any(is_lazy(annotation.layer) for annotation in self._form.annotation_list.annotations):
            raise InputError("A preview would read all lazy labels: press Segment stack instead.")
        index = self._frame_in_view()
        if index is None:
            frames = frames_of(image, self._form.axes)
            raise InputError(view_problem(image, frames, self._viewer.dims))
        accepted = self._form.accepted()
        read, frames = self._form.reference_reader(), frames_of(image, self._form.axes)
        job = self._job(PreviewJob, [], accepted)
        job = replace(job, frames=(index, index + 1))

        def make() -> PreviewInputs:
            made = replace(job, references=read(accepted))
            plan(made)
            return image, frames, index, made

        return make

    def apply(self, target: Image) -> Callable[[], SegmentationJob]:
        """Return a function that creates the job for another image in any thread.

        The job is that of a `Segmenter` that is fitted to the chosen image and its annotations:
        references show other frames than those of the stack, and the contrast limits are those
        of the annotated image.

        Raises
        ------
        InputError
            If there is no image, or the other one has other channels.
        """
        image, axes, channels = self._form.image, self._form.axes, self._form.channels
        same = target.ndim == image.ndim and target.rgb == image.rgb
        target_axes = known_axes(target) or (axes if same else possible_axes(target)[0])
        source = frames_of(image, axes, channels)
        compare_channels(
            frames_of(target, target_axes, channels),
            len(source.channels),
            f"'{target.name}'",
            projected=source.projected,
        )
        accepted = self._form.accepted()
        read = self._form.reference_reader()
        base = self._job(SegmentationJob, [], ())

        def make() -> SegmentationJob:
            references = read(accepted)
            job = replace(
                base,
                data=stack_data(target),
                axes=target_axes,
                nodata=nodata_of(target),
                references=references,
                references_on_stack=False,
                normalisation=fit_normalisation(source, references=references),
                levels=True,
            )
            plan(job)
            return job

        return make

    def compare(self, models: Sequence[str]) -> ComparisonJob:
        """Create the job that compares models on the annotated frames.

        Raises
        ------
        InputError
            If there is no image, or nothing is annotated.
        """
        accepted = self._form.accepted()
        job = self._job(ComparisonJob, self._form.references(accepted), ())
        job = replace(job, models=tuple(models), first_frame=self._frame_in_view())
        plan(job)
        return job

    def prepare(self) -> PrepareJob | None:
        """Return the job that prepares the worker; None if the model may need a download."""
        model = self._form.model_box.model
        if not self._is_available(model):
            return None
        device = self._form.device_box.currentText()
        try:
            if isinstance(stack_data(self._form.image), np.ndarray):
                job = self._job(PrepareJob, [], ())
                return replace(job, first_frame=self._frame_in_view())
        except InputError:  # no image, or an unusual one
            pass
        # Nothing of a lazy image is read before the user wants it.
        return PrepareJob(no_stack(), model=model, device=device)

    def _job(
        self, kind: type[JobKind], references: list[Reference], accepted: Collection[int]
    ) -> JobKind:
        return kind(
            data=stack_data(self._form.image),
            axes=self._form.axes,
            channels=self._form.channels,
            nodata=nodata_of(self._form.image),
            references=references,
            model=self._form.model_box.model,
            device=self._form.device_box.currentText(),
            tile_size=self._form.tile,
            prompting=self._form.prompting_box.prompting,
            neighbours=self._form.neighbours_box.isChecked(),
            relabelling=self._relabelling(),
            accepted=frozenset(accepted),
        )

    def _is_available(self, model: str) -> bool:
        """Return whether a model can be loaded without a download."""
        return model in self.loaded or any(
            spec.name == model and not spec.downloads for spec in list_models()
        )

    def _frame_in_view(self) -> int | None:
        image = self._form.image
        return frame_in_view(image, frames_of(image, self._form.axes), self._viewer.dims)
