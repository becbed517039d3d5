"""Base class of the forms of the docks: the inputs that all runs have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.classes.annotation_list import AnnotationList
from napari_vrp_sam.plugin.inputs.axes_reader import AxesReader
from napari_vrp_sam.plugin.inputs.channel_box import ChannelBox, channel_names
from napari_vrp_sam.plugin.inputs.devices import offered_devices
from napari_vrp_sam.plugin.inputs.image_box import ImageBox
from napari_vrp_sam.plugin.inputs.label_question import LabelQuestionBox
from napari_vrp_sam.plugin.inputs.model_box import ModelBox
from napari_vrp_sam.plugin.inputs.shared_choice import SharedSelection
from napari_vrp_sam.plugin.layers.annotations import references_from_layers
from napari_vrp_sam.plugin.layers.metadata import get_metadata, unwrap
from napari_vrp_sam.plugin.layers.outputs.accepted import (
    accepted_frames,
    accepted_labels,
    current_result,
    references_with_accepted,
)
from napari_vrp_sam.plugin.layers.stacks import (
    STATED_AXES,
    axes_are_obvious,
    possible_axes,
    state_axes,
)
from napari_vrp_sam.plugin.widgets.controls import (
    NarrowComboBox,
    form_layout,
    set_help,
)
from napari_vrp_sam.plugin.widgets.section import Section

if TYPE_CHECKING:
    import napari
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_vrp_sam.annotations.reference import Reference


GUESS = "<qt>Neither the image nor its file names the axes: check them.</qt>"


class StackForm(QWidget):
    """Inputs that follow the viewer's layers: image, axes, channels, annotations, model, device.

    Subclasses add rows to `_form` and `_advanced_form`, implement `_refresh_guide` and
    `point_radius`, and finally call `_follow_viewer`.

    Attributes
    ----------
    advanced : Section
        Inputs that are rarely changed; the dock places it below the controls of the run.
    """

    warned = Signal(str)
    """Emits a message if an input of the user was rejected."""
    noted = Signal(str)
    """Emits sentences about annotations that are not used, "" if all are, from any thread."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.image_box = ImageBox(viewer)
        self.axes_box = NarrowComboBox(elided=False)
        self.axes_reader = AxesReader(viewer, self)
        self.channel_box = ChannelBox()
        self.annotation_list = AnnotationList(viewer, self.image_box)
        self.label_question = LabelQuestionBox(self.annotation_list)
        self.noted.connect(self.label_question.show_note)
        self.model_box = ModelBox()
        self.device_box = NarrowComboBox(elided=False)
        self.device_box.addItems(offered_devices())
        self._form, self._advanced_form = form_layout(), form_layout()
        self._axes_label = QLabel("Axes")
        self._axes_label.setBuddy(self.axes_box)
        self.advanced = Section(
            "Advanced",
            "Settings that are rarely changed.",
            "getting-started/napari.md#advanced-settings",
        )
        rows = QWidget()
        rows.setLayout(self._advanced_form)
        self.advanced.addWidget(rows)

    @property
    def image(self) -> Image:
        """Chosen image; raises `InputError` if there is none."""
        if self.image_box.layer is None:
            raise InputError("No image is open: open an image stack first.")
        return self.image_box.layer

    @property
    def axes(self) -> str:
        """Axes of the image, such as "ZYX"."""
        return self.axes_box.currentText()

    @property
    def channels(self) -> tuple[int, ...] | None:
        """Indices of the chosen channels; None for all."""
        return self.channel_box.channels

    @property
    def point_radius(self) -> float | None:
        """Radius in pixels around point annotations; None for the default."""
        raise NotImplementedError

    def choose_axes(self, axes: str) -> None:
        """Choose the axes of the image, which keeps them."""
        self.axes_box.setCurrentText(axes)
        self._state_axes()

    def accepted(self) -> dict[int, NDArray[Any]]:
        """Return the labels of the accepted frames, each of shape (Y, X), by frame index."""
        result = current_result(self._viewer, self.image)
        return accepted_labels(result, self.image, self.axes) if result is not None else {}

    def accepted_indices(self) -> list[int]:
        """Return the indices of the accepted frames; empty without an image."""
        image = self.image_box.layer
        result = current_result(self._viewer, image) if image is not None else None
        return accepted_frames(result) if result is not None else []

    def references(
        self, accepted: dict[int, NDArray[Any]], overruled: set[int] | None = None
    ) -> list[Reference]:
        """Return references from the ticked layers and the accepted frames.

        Adds the accepted frames with drawings, which are not used, to `overruled`.

        Raises
        ------
        InputError
            If the annotations cannot be used; see `references_from_layers`.
        """
        return self.reference_reader(overruled)(accepted)

    def reference_reader(
        self, overruled: set[int] | None = None
    ) -> Callable[[dict[int, NDArray[Any]]], list[Reference]]:
        """Return a function that reads the references in any thread.

        Reading the annotations of large frames takes seconds.

        Raises
        ------
        InputError
            If there is no image.
        """
        image, axes, channels = self.image, self.axes, self.channels
        annotations, dims = self.annotation_list.annotations, self._viewer.dims
        point_radius = self.point_radius

        def read(accepted: dict[int, NDArray[Any]]) -> list[Reference]:
            drawn = references_from_layers(
                image,
                annotations,
                dims,
                axes=axes or None,
                channels=channels,
                point_radius=point_radius,
                required=not accepted,
                report=self._report,
            )
            if overruled is not None:
                overruled.update({r.frame for r in drawn if r.frame is not None} & accepted.keys())
            return references_with_accepted(drawn, accepted, image, axes, channels)

        return read

    def _report(self, note: str) -> None:
        with contextlib.suppress(RuntimeError):  # the dock was closed
            self.noted.emit(note)

    def lock(self, *, locked: bool) -> None:
        """Keep the image during a run, whatever layer is selected."""
        self._shared.locked = locked

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        self._shared.release()
        self.axes_reader.release()
        self.annotation_list.release()
        for emitter in self._layer_emitters():
            emitter.disconnect(self._refresh_layers)

    def _follow_viewer(self) -> None:
        self._shared = SharedSelection(self._viewer, self.image_box, self.annotation_list, self)
        self.image_box.chosen.connect(self._refresh_image)
        self.axes_box.currentTextChanged.connect(self._refresh_axes)
        self.axes_box.activated.connect(self._state_axes)
        self.axes_reader.found.connect(self._on_axes)
        self.annotation_list.changed.connect(self._refresh_guide)
        for emitter in self._layer_emitters():
            emitter.connect(self._refresh_layers)
        self._refresh_image()
        self.axes_reader.read()

    def _layer_emitters(self) -> list[Any]:
        emitters = self._viewer.layers.events.emitters
        names = ("inserted", "removed", "reordered", "renamed")
        return [emitters[name] for name in names if name in emitters]  # older napari: no "renamed"

    def _refresh_layers(self, _event: Any = None) -> None:
        self.image_box.refresh()
        self.annotation_list.refresh()
        self.axes_reader.read()

    def _on_axes(self, image: Image) -> None:
        if image is not unwrap(self.image_box.layer):
            return
        if possible_axes(image)[0] == self.axes:  # the settings of these axes stay
            self._place_axes()
            self._refresh_axes()
        else:
            self._refresh_image()

    def _state_axes(self, _index: int = 0) -> None:
        """Let the image keep the axes that the user chose."""
        if self.image_box.layer is not None:
            state_axes(self.image_box.layer, self.axes)
            self._place_axes()

    def _refresh_image(self) -> None:
        self.axes_box.clear()
        if self.image_box.layer is not None:
            try:
                self.axes_box.addItems(possible_axes(self.image_box.layer))
            except InputError as error:
                self.warned.emit(str(error))
        self._place_axes()
        self._refresh_axes()
        self._refresh_guide()

    def _place_axes(self) -> None:
        """Move the axes below the image if the user should check them."""
        image = self.image_box.layer
        ambiguous = self.axes_box.count() > 1 and image is not None and not axes_are_obvious(image)
        form, other = self._form, self._advanced_form
        if not ambiguous:
            form, other = other, form
        if form.indexOf(self.axes_box) < 0:
            if other.indexOf(self.axes_box) >= 0:
                other.takeRow(self.axes_box)
            row = form.getWidgetPosition(self.image_box)[0] + 1 if ambiguous else 0
            form.insertRow(row, self._axes_label, self.axes_box)
        guessed = ambiguous and image is not None and not get_metadata(image, STATED_AXES)
        self._axes_label.setText("Axes (guess)" if guessed else "Axes")
        self._axes_label.setToolTip(GUESS if guessed else "")
        self._axes_label.setVisible(self.axes_box.count() > 1)
        self.axes_box.setVisible(self.axes_box.count() > 1)

    def _refresh_axes(self, _axes: str = "") -> None:
        image = self.image_box.layer
        self.channel_box.set_names(channel_names(image, self.axes) if image else [])
        self._show_row(self.channel_box, visible=self.channels is not None)

    def _refresh_guide(self) -> None:
        """Show what the user has to do next."""
        raise NotImplementedError

    def _add_row(
        self, label: str, field: QWidget, help_text: str, form: QFormLayout | None = None
    ) -> None:
        set_help(field, help_text)
        (self._form if form is None else form).addRow(label, field)

    def _show_row(self, field: QWidget, *, visible: bool) -> None:
        # Qt 5 has no QFormLayout.setRowVisible.
        field.setVisible(visible)
        for form in (self._form, self._advanced_form):
            if form.indexOf(field) >= 0:
                form.labelForField(field).setVisible(visible)
