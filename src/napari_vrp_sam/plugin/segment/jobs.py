"""Segmentation jobs from the inputs of the form."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob, plan
from napari_vrp_sam.models.zoo.registry import list_models
from napari_vrp_sam.plugin.layers.annotations import is_lazy
from napari_vrp_sam.plugin.layers.frame_view import frame_in_view
from napari_vrp_sam.plugin.layers.stacks import frames_of, stack_data

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_vrp_sam.annotations.reference import Reference
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm


class JobFactory:
    """Create jobs from the inputs of the form and the frame in view.

    Attributes
    ----------
    loaded : set of str
        Models that a run has loaded, which therefore need no download.
    """

    def __init__(self, viewer: napari.viewer.Viewer, form: SegmentForm) -> None:
        self._viewer = viewer
        self._form = form
        self.loaded: set[str] = set()

    def run(
        self, references: list[Reference], accepted: Collection[int], *, probabilities: bool
    ) -> SegmentationJob:
        """Return the job that segments the chosen frames, beginning with the frame in view."""
        return replace(
            self._job(references, accepted),
            frames=self._form.frame_range.value(),
            first_frame=self._frame_in_view(),
            probabilities=probabilities,
        )

    def preview(self) -> tuple[Image, Frames, int, SegmentationJob]:
        """Return image, frames, index of the frame in view and the job that segments this frame.

        Raises
        ------
        InputError
            If there is nothing to preview.
        """
        image = self._form.image
        if not self._is_available(self._form.model_box.model):
            raise InputError("The model may need a download: press Segment stack once.")
        if any(is_lazy(annotation.layer) for annotation in self._form.annotation_list.annotations):
            raise InputError("Lazy labels would be read completely for each preview.")
        index = self._frame_in_view()
        if index is None:
            raise InputError("No frame is in view: move the sliders to a frame.")
        accepted = self._form.accepted()
        job = self._job(self._form.references(accepted), accepted)
        job = replace(job, frames=(index, index + 1))
        plan(job)
        return image, frames_of(image, self._form.axes), index, job

    def _job(self, references: list[Reference], accepted: Collection[int]) -> SegmentationJob:
        return SegmentationJob(
            data=stack_data(self._form.image),
            axes=self._form.axes,
            channels=self._form.channels,
            references=references,
            model=self._form.model_box.model,
            device=self._form.device_box.currentText(),
            tile_size=self._form.tile,
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
