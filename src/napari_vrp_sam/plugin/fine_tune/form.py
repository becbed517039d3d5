"""The choices for a fine-tuning: image, annotations, base model, parts, time, name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QLineEdit, QWidget

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.job import FineTuneJob, interrupted_runs
from napari_vrp_sam.models.zoo.user_models import (
    LONGEST_NAME,
    list_user_models,
    models_folder,
    new_model_path,
)
from napari_vrp_sam.plugin.classes.annotation_list import AnnotationList
from napari_vrp_sam.plugin.fine_tune.parts_box import PartsBox, base_model
from napari_vrp_sam.plugin.inputs.channel_box import ChannelBox, channel_names
from napari_vrp_sam.plugin.inputs.image_box import ImageBox
from napari_vrp_sam.plugin.inputs.model_box import ModelBox
from napari_vrp_sam.plugin.inputs.segment_form import DEVICES
from napari_vrp_sam.plugin.inputs.shared_choice import SharedSelection
from napari_vrp_sam.plugin.layers.accepted import (
    accepted_labels,
    current_result,
    references_with_accepted,
)
from napari_vrp_sam.plugin.layers.annotations import references_from_layers
from napari_vrp_sam.plugin.layers.frame_view import frame_in_view
from napari_vrp_sam.plugin.layers.stacks import frames_of, possible_axes, stack_data
from napari_vrp_sam.plugin.preferences import get_preference
from napari_vrp_sam.plugin.widgets.controls import MessageLabel, NarrowComboBox, set_help

if TYPE_CHECKING:
    import napari
    from napari.layers import Image


class FineTuneForm(QWidget):
    """The controls above the button, in step with the viewer's layers.

    Signals
    -------
    warned : (message,)
        One sentence on what the user cannot do.
    """

    warned = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._named = False
        """Whether the user has given the name."""
        self._locked = False
        self.guide = MessageLabel()
        self.image_box = ImageBox(viewer)
        self.axes_box = NarrowComboBox()
        self.channel_box = ChannelBox()
        self.annotation_list = AnnotationList(viewer)
        self.model_box = ModelBox()
        self.parts_box = PartsBox()
        self.minutes_box = QDoubleSpinBox()
        self.device_box = NarrowComboBox()
        self.name_box = QLineEdit()
        self._fill()
        self._explain()
        self._lay_out()
        self._shared = SharedSelection(viewer, self.image_box, self.annotation_list, self)
        self._connect()
        self._follow_model()
        self._follow_image()

    @property
    def image(self) -> Image:
        """The chosen image; raises an `InputError` if there is none."""
        return self.image_box.image

    def job(self) -> FineTuneJob:
        """What is chosen, checked.

        Raises
        ------
        InputError
            If it cannot be done as it stands.
        """
        image, axes, channels = self.image, self.axes_box.currentText(), self.channel_box.channels
        result = current_result(self._viewer, image)
        accepted = accepted_labels(result, image, axes) if result is not None else {}
        drawn = references_from_layers(
            image,
            self.annotation_list.annotations,
            self._viewer.dims,
            axes=axes or None,
            channels=channels,
            point_radius=get_preference("point_radius", 0.0) or None,
            required=not accepted,
        )
        name = self.name_box.text().strip()
        job = FineTuneJob(
            stack_data(image),
            references=references_with_accepted(drawn, accepted, image, axes, channels),
            output=new_model_path(name),
            name=name,
            axes=axes,
            channels=channels,
            model=self.model_box.model,
            parts=self.parts_box.part,
            minutes=self.minutes_box.value() or None,
            device=self.device_box.currentText(),
            preview_frame=frame_in_view(image, frames_of(image, axes), self._viewer.dims),
        )
        job.check()
        return job

    def suggest_name(self) -> None:
        """Name the model after image and base, unless the user has named it."""
        if self._locked or (self._named and self.name_box.text().strip()):
            return
        image = self.image_box.layer
        stem = re.sub(r"[\W_]+", "-", image.name.lower()).strip("-") if image else ""
        base = base_model(self.model_box.model)
        stem = f"{stem[: LONGEST_NAME - 20].rstrip('-') or 'my'}-{base}"
        taken = {own.name.casefold() for own in list_user_models()}
        taken |= {output.stem.casefold() for output in interrupted_runs(models_folder())}
        numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
        free = [name for name in (stem, *numbered) if name.casefold() not in taken]
        self._named = False
        self.name_box.setText(free[0])

    def lock(self, *, locked: bool) -> None:
        """A run begins, which has the name; or it has ended."""
        self._locked = locked
        self.suggest_name()

    def forget_name(self) -> None:
        """The name is taken now: the next model gets another."""
        self._named = False
        self.suggest_name()

    def release(self) -> None:
        """Let go of the viewer, which is closing."""
        self._shared.release()
        for emitter in self._layer_emitters():
            emitter.disconnect(self._follow_layers)

    def _fill(self) -> None:
        self.minutes_box.setRange(0, 24 * 60)
        self.minutes_box.setDecimals(1)
        self.minutes_box.setSuffix(" min")
        self.minutes_box.setSpecialValueText("3 min, on a GPU 1")
        self.device_box.addItems(DEVICES)
        self.device_box.setCurrentText(get_preference("device", DEVICES[0]))
        self.model_box.setCurrentText(get_preference("model", ""))
        self.name_box.setMaxLength(LONGEST_NAME)

    def _explain(self) -> None:
        set_help(self.image_box, "The image stack to learn on.")
        set_help(self.axes_box, "What the image's axes are; see <b>Segment stack</b>.")
        set_help(
            self.annotation_list,
            "Layers to learn from: the same as in <b>Segment stack</b>, and accepted frames as "
            "well. Masks teach most; two frames teach more than one.",
        )
        set_help(self.model_box, "What the new model starts from; it is not changed.")
        set_help(
            self.minutes_box,
            "Time to learn; it ends earlier where nothing is gained any more. 0 stands for 3 "
            "minutes, or 1 on a GPU.",
        )
        set_help(
            self.device_box,
            "Where the model learns: <b>auto</b> takes a GPU where there is one.",
        )
        set_help(self.name_box, "Name of the new model in the list of models.")

    def _lay_out(self) -> None:
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setHorizontalSpacing(8)
        self._form.setVerticalSpacing(5)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._form.addRow(self.guide)
        self._form.addRow("Image", self.image_box)
        self._form.addRow("Axes", self.axes_box)
        self._form.addRow("Channels", self.channel_box)
        self._form.addRow(self.annotation_list)
        self._form.addRow("Base model", self.model_box)
        self._form.addRow("What learns", self.parts_box)
        self._form.addRow("Time", self.minutes_box)
        self._form.addRow("Device", self.device_box)
        self._form.addRow("Name", self.name_box)

    def _connect(self) -> None:
        self.image_box.chosen.connect(self._follow_image)
        self.axes_box.currentTextChanged.connect(self._follow_axes)
        self.annotation_list.changed.connect(self._guide)
        self.model_box.currentIndexChanged.connect(self._follow_model)
        self.name_box.textEdited.connect(self._take_name)
        for emitter in self._layer_emitters():
            emitter.connect(self._follow_layers)

    def _layer_emitters(self) -> list[Any]:
        emitters = self._viewer.layers.events.emitters
        names = ("inserted", "removed", "reordered", "renamed")
        return [emitters[name] for name in names if name in emitters]  # older napari: no "renamed"

    def _follow_layers(self, _event: Any = None) -> None:
        self.image_box.refresh()
        self.annotation_list.refresh()
        self.suggest_name()  # the image may have another

    def _follow_image(self) -> None:
        self.axes_box.clear()
        if self.image_box.layer is not None:
            try:
                self.axes_box.addItems(possible_axes(self.image_box.layer))
            except InputError as mistake:
                self.warned.emit(str(mistake))
        self._show_row(self.axes_box, visible=self.axes_box.count() > 1)
        self._follow_axes()
        self.suggest_name()
        self._guide()

    def _follow_axes(self, _axes: str = "") -> None:
        image = self.image_box.layer
        names = channel_names(image, self.axes_box.currentText()) if image else []
        self.channel_box.offer(names)
        self._show_row(self.channel_box, visible=self.channel_box.channels is not None)

    def _follow_model(self, _row: int = 0) -> None:
        self.parts_box.refresh(self.model_box.model)
        self.suggest_name()

    def _take_name(self, name: str) -> None:
        self._named = bool(name.strip())

    def _guide(self) -> None:
        """Tell what is missing."""
        self.annotation_list.setVisible(self.annotation_list.topLevelItemCount() > 0)
        if self.image_box.layer is None:
            text = "<b>First</b> open an image stack."
        elif not self.annotation_list.annotations:
            text = "<b>Now</b> mark your class on a frame or more, as in <b>Segment stack</b>."
        else:
            text = ""
        self.guide.show_message(text)

    def _show_row(self, field: QWidget, *, visible: bool) -> None:
        # QFormLayout.setRowVisible would do, but Qt 5 has none.
        field.setVisible(visible)
        self._form.labelForField(field).setVisible(visible)
