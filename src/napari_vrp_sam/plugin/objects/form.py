"""Settings of the "Objects" section."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractSlider, QCheckBox, QWidget
from superqt import QLabeledDoubleSlider

from napari_vrp_sam.inference.objects.settings import ObjectSettings
from napari_vrp_sam.io.sessions.session import ObjectOptions, ObjectOutput
from napari_vrp_sam.plugin.widgets.controls import (
    NarrowComboBox,
    add_wide_row,
    form_layout,
    set_help,
)
from napari_vrp_sam.plugin.widgets.wheel import WheelFilter

CLASSES, ON_FRAMES, LINKED = range(3)
"""Rows of the output box; `LINKED` is not available for a single frame."""
OUTPUTS: tuple[ObjectOutput, ...] = "classes", "objects", "linked objects"
"""Names of the rows in sessions."""


class ObjectsForm(QWidget):
    """Settings for finding objects, as far as they apply to the axes of the image."""

    changed = Signal()
    """Emitted after a change of the output or the axes."""
    edited = Signal()
    """Emitted after a change of a setting that changes the objects of a frame."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._axes = ""
        self.output_box = NarrowComboBox(elided=False)
        self.divisions_check = QCheckBox("Objects may divide")
        self.split_slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.output_box.addItems(["Classes", "Objects on each frame"])
        self._set_ranges()
        set_help(
            self.output_box,
            "<b>Classes</b>: no objects. <b>Objects on each frame</b>: an additional layer with "
            "a label for each object of a frame. <b>Objects through…</b>: objects that overlap "
            "from frame to frame have the same label. Objects are found at the end of each run.",
        )
        set_help(
            self.split_slider,
            "How readily touching objects are split at their narrowest points. 0: never; each "
            "connected region is one object. 1: at every neck.",
        )
        set_help(
            self.divisions_check,
            "An object may divide into two through time; both get new labels and refer to their "
            "parent.",
        )
        form = form_layout()
        self.setLayout(form)
        add_wide_row(form, "Output", self.output_box)
        form.addRow(self.divisions_check)
        add_wide_row(form, "Split strength", self.split_slider)
        self.output_box.currentIndexChanged.connect(self._update)
        self.output_box.currentIndexChanged.connect(self._edited)
        self.split_slider.valueChanged.connect(self._edited)
        self._update()

    @property
    def objects_requested(self) -> bool:
        """True if the output includes objects."""
        return self.output_box.currentIndex() != CLASSES

    def settings(self) -> ObjectSettings:
        """Return the settings that apply, without the clean-up."""
        linked = self.output_box.currentIndex() == LINKED
        return ObjectSettings(
            linked=linked,
            divisions=linked and "T" in self._axes and self.divisions_check.isChecked(),
            split_strength=round(self.split_slider.value(), 2),
        )

    def options(self) -> ObjectOptions:
        """Return the state of the controls, as sessions store it."""
        return ObjectOptions(
            OUTPUTS[self.output_box.currentIndex()],
            self.divisions_check.isChecked(),
            round(self.split_slider.value(), 2),
        )

    def set_options(self, options: ObjectOptions) -> None:
        """Restore the state of the controls; an output that the axes do not allow becomes none."""
        row = OUTPUTS.index(options.output)
        self.output_box.setCurrentIndex(row if row < self.output_box.count() else CLASSES)
        self.divisions_check.setChecked(options.divisions)
        self.split_slider.setValue(options.split_strength)

    def set_axes(self, axes: str) -> None:
        """Offer linking of objects along T and Z if an image has these axes."""
        self._axes = "".join(axis for axis in "ZT" if axis in axes)
        if self._axes:
            text = f"Objects through {' and '.join(self._axes)}"
            if self.output_box.count() == LINKED:
                self.output_box.addItem(text)
            self.output_box.setItemText(LINKED, text)
        elif self.output_box.count() > LINKED:
            self.output_box.removeItem(LINKED)
        self._update()

    def _set_ranges(self) -> None:
        defaults = ObjectSettings()
        self.split_slider.setRange(0, 1)
        self.split_slider.setSingleStep(0.05)  # type: ignore[arg-type] # int in superqt's proxy
        self.split_slider.setDecimals(2)
        self.split_slider.setValue(defaults.split_strength)
        for part in self.split_slider.findChildren(QAbstractSlider):
            WheelFilter(part)

    def _edited(self, _value: object = None) -> None:
        self.edited.emit()

    def _update(self, _index: int = 0) -> None:
        output = self.output_box.currentIndex()
        self.divisions_check.setVisible(output == LINKED and "T" in self._axes)
        self.split_slider.setEnabled(self.objects_requested)
        self.changed.emit()
