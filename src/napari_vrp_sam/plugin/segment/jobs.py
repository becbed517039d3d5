"""What is chosen in the form, as a job for the engine."""

from __future__ import annotations

from collections.abc import Collection, Iterable
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
    """Makes jobs of the form's choices and what the viewer shows.

    Attributes
    ----------
    loaded : set of str
        Models that a run has loaded: they are there, whatever had to be downloaded.
    """

    def __init__(self, viewer: napari.viewer.Viewer, form: SegmentForm) -> None:
        self._viewer = viewer
        self._form = form
        self.loaded: set[str] = set()

    def run(
        self, references: list[Reference], accepted: Collection[int], *, probabilities: bool
    ) -> SegmentationJob:
        """The frames of the range, the one in view first."""
        return replace(
            self._job(references, accepted),
            frames=self._form.frame_range.value(),
            first_frame=self._frame_in_view(),
            probabilities=probabilities,
        )

    def preview(self) -> tuple[Image, Frames, int, SegmentationJob]:
        """The frame in view alone; see `PreviewBox`.

        Raises
        ------
        InputError
            If there is nothing to show.
        """
        image = self._form.image
        if not self._at_hand(self._form.model_box.model):
            raise InputError("Only a run may download a model: press Segment stack once.")
        if any(is_lazy(annotation.layer) for annotation in self._form.annotation_list.annotations):
            raise InputError("Lazy labels would be read whole for each preview, as the user waits.")
        index = self._frame_in_view()
        if index is None:
            raise InputError("No frame is in view: move the sliders onto one.")
        accepted = self._form.accepted()
        job = self._job(self._form.references(accepted), accepted)
        job = replace(job, frames=(index, index + 1))
        plan(job)
        return image, frames_of(image, self._form.axes), index, job

    def class_names(self, class_ids: Iterable[int]) -> dict[int, str]:
        """Names by number, as the list of classes has them."""
        return {class_id: self._form.class_list.name(class_id) for class_id in class_ids}

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

    def _at_hand(self, model: str) -> bool:
        """Whether a model loads at once: it needs no download, or was loaded before."""
        light = (spec.name for spec in list_models() if not spec.downloads)
        return model in self.loaded or model in light

    def _frame_in_view(self) -> int | None:
        image = self._form.image
        return frame_in_view(image, frames_of(image, self._form.axes), self._viewer.dims)
