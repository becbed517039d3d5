"""Form of the "Fine-tune" dock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QLineEdit

from napari_vrp_sam.fine_tuning.job import FineTuneJob, interrupted_runs
from napari_vrp_sam.models.zoo.user_models import (
    MAX_NAME_LENGTH,
    list_user_models,
    models_folder,
    new_model_path,
)
from napari_vrp_sam.plugin.fine_tune.parts_box import PartsBox, base_model
from napari_vrp_sam.plugin.inputs.stack_form import StackForm
from napari_vrp_sam.plugin.layers.frame_view import frame_in_view, frame_number
from napari_vrp_sam.plugin.layers.outputs.accepted import (
    accepted_frames,
    current_result_with_frames,
)
from napari_vrp_sam.plugin.layers.stacks import frames_of, nodata_of, stack_data
from napari_vrp_sam.plugin.preferences import get_preference
from napari_vrp_sam.plugin.widgets.controls import MessageLabel, add_wide_row, set_help
from napari_vrp_sam.plugin.widgets.spin_boxes import DoubleSpinBox

if TYPE_CHECKING:
    import napari


class FineTuneForm(StackForm):
    """Inputs of a fine-tuning: those of `StackForm`, trained parts, time and name of the model."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self._name_edited = False
        self._locked = False
        self.guide = MessageLabel()
        self.accepted_label = MessageLabel()
        self.parts_box = PartsBox()
        self.minutes_box = DoubleSpinBox()
        self.name_box = QLineEdit()
        self.minutes_box.setRange(0, 24 * 60)
        self.minutes_box.setDecimals(1)
        self.minutes_box.setSuffix(" min")
        self.minutes_box.setSpecialValueText("Automatic")
        self.device_box.setCurrentText(get_preference("device", "auto"))
        self.model_box.setCurrentText(get_preference("model", ""))
        self.name_box.setMaxLength(MAX_NAME_LENGTH)
        self._set_help()
        self._lay_out()
        self.model_box.currentIndexChanged.connect(self._refresh_model)
        self.name_box.textEdited.connect(self._on_name_edited)
        self._refresh_model()
        self._follow_viewer()

    @property
    def point_radius(self) -> float | None:
        """Radius in pixels around point annotations; None for the default."""
        return get_preference("point_radius", 0.0) or None

    def job(self) -> FineTuneJob:
        """Return the job, checked.

        Raises
        ------
        InputError
            If it cannot be done.
        """
        image, axes = self.image, self.axes
        references = self.references(self.accepted())
        name = self.name_box.text().strip()
        job = FineTuneJob(
            stack_data(image),
            references=references,
            output=new_model_path(name),
            name=name,
            axes=axes,
            channels=self.channels,
            nodata=nodata_of(self.image),
            model=self.model_box.model,
            parts=self.parts_box.parts,
            minutes=self.minutes_box.value() or None,
            device=self.device_box.currentText(),
            preview_frame=frame_in_view(image, frames_of(image, axes), self._viewer.dims),
        )
        job.check()
        return job

    def suggest_name(self) -> None:
        """Derive an unused name from image and base model, unless the user has entered one."""
        if self._locked or (self._name_edited and self.name_box.text().strip()):
            return
        image = self.image_box.layer
        stem = re.sub(r"[\W_]+", "-", image.name.lower()).strip("-") if image else ""
        base = base_model(self.model_box.model)
        stem = f"{stem[: MAX_NAME_LENGTH - 20].rstrip('-') or 'my'}-{base}"
        used = {model.name.casefold() for model in list_user_models()}
        used |= {output.stem.casefold() for output in interrupted_runs(models_folder())}
        numbered = (f"{stem}-{number}" for number in range(2, len(used) + 3))
        self._name_edited = False
        self.name_box.setText(
            next(name for name in (stem, *numbered) if name.casefold() not in used)
        )

    def lock(self, *, locked: bool) -> None:
        """Keep the image and the name unchanged during a run."""
        super().lock(locked=locked)
        self._locked = locked
        self.suggest_name()

    def reset_name(self) -> None:
        """Suggest another name, after a model with the current one was saved."""
        self._name_edited = False
        self.suggest_name()

    def _set_help(self) -> None:
        set_help(self.image_box, "Image stack to train on.")
        set_help(self.axes_box, "Meaning of the image's axes; see <b>Segment stack</b>.")
        set_help(
            self.annotation_list,
            "Annotation layers to train on, the same as in <b>Segment stack</b>; accepted frames "
            "are used too. Masks are the most informative, and two frames are better than one.",
        )
        set_help(self.model_box, "Model to start from; it is not changed.")
        set_help(
            self.minutes_box,
            "Training time. Loading the model and measuring the result take additional time. "
            "Automatic: 3 minutes on a CPU, 1 minute on a GPU.",
        )
        set_help(self.device_box, "Device to train on; <b>auto</b> selects a GPU if there is one.")
        set_help(self.name_box, "Name of the new model in the list of models.")

    def _lay_out(self) -> None:
        self.setLayout(self._form)
        self._form.addRow("Image", self.image_box)
        self._form.addRow("Channels", self.channel_box)
        self._form.addRow(self.annotation_list)
        self._form.addRow(self.label_question)
        self._form.addRow(self.accepted_label)
        self._form.addRow("Base model", self.model_box)
        add_wide_row(self._form, "Trained parts", self.parts_box)
        self._form.addRow("Time", self.minutes_box)
        self._form.addRow("Name", self.name_box)
        self._advanced_form.addRow("Device", self.device_box)

    def _refresh_layers(self, _event: Any = None) -> None:
        super()._refresh_layers()
        self.suggest_name()  # the image may have been renamed

    def _refresh_image(self) -> None:
        super()._refresh_image()
        self.suggest_name()

    def _refresh_model(self, _row: int = 0) -> None:
        self.parts_box.refresh(self.model_box.model)
        self.suggest_name()

    def refresh_accepted(self) -> None:
        """List the accepted frames, which are used as masks."""
        image = self.image_box.layer
        result = None if image is None else current_result_with_frames(self._viewer, image)
        text = ""
        if result is not None and (accepted := accepted_frames(result[0])):
            numbers = ", ".join(frame_number(result[1].position(index)) for index in accepted)
            text = f"Accepted {'frame' if len(accepted) == 1 else 'frames'}, also used: {numbers}"
        self.accepted_label.show_message(text)

    def _refresh_guide(self) -> None:
        self.refresh_accepted()
        text = ""
        if self.image_box.layer is None:
            text = "<b>First</b> open an image stack."
        elif not (self.annotation_list.annotations or self.accepted_label.text()):
            text = (
                "<b>Now</b> annotate the class on one or more frames, as in <b>Segment stack</b>."
            )
        self.guide.show_message(text)

    def _on_name_edited(self, name: str) -> None:
        self._name_edited = bool(name.strip())
