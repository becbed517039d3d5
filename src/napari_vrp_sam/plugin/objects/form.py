"""Settings of the "Objects" section."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_vrp_sam.inference.objects.find import ObjectSettings
from napari_vrp_sam.plugin.widgets.controls import (
    NarrowComboBox,
    add_wide_row,
    form_layout,
    set_help,
)
from napari_vrp_sam.plugin.widgets.spin_boxes import SpinBox

CLASSES, ON_FRAMES, LINKED = range(3)
"""Rows of the output box; `LINKED` is not available for a single frame."""


class ObjectsForm(QWidget):
    """Settings for finding objects, as far as they apply to the axes of the image."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._axes = ""
        self.output_box = NarrowComboBox(elided=False)
        self.split_check = QCheckBox("Split touching objects")
        self.divisions_check = QCheckBox("Allow divisions")
        self.size_box = SpinBox()
        self.output_box.addItems(["Classes", "Objects on each frame"])
        self.split_check.setChecked(True)
        self.size_box.setRange(0, 1_000_000)
        self.size_box.setSuffix(" px")
        set_help(
            self.output_box,
            "<b>Classes</b>: no objects. <b>Objects on each frame</b>: an additional layer with "
            "a label for each object of a frame. <b>Objects through…</b>: objects that overlap "
            "from frame to frame have the same label. Objects are found at the end of each run.",
        )
        set_help(
            self.split_check,
            "Split touching objects of a class at their narrowest points; otherwise, each "
            "connected region is one object.",
        )
        set_help(
            self.divisions_check,
            "An object may divide into two over time; both get new labels and refer to their "
            "parent.",
        )
        set_help(self.size_box, "Remove objects with fewer pixels on a frame.")
        form = form_layout()
        self.setLayout(form)
        add_wide_row(form, "Output", self.output_box)
        form.addRow(self.split_check)
        form.addRow(self.divisions_check)
        form.addRow("Minimum size", self.size_box)
        self.output_box.currentIndexChanged.connect(self._update)
        self._update()

    @property
    def objects_requested(self) -> bool:
        """True if the output includes objects."""
        return self.output_box.currentIndex() != CLASSES

    def settings(self) -> ObjectSettings:
        """Return the settings that apply."""
        linked = self.output_box.currentIndex() == LINKED
        return ObjectSettings(
            linked=linked,
            divisions=linked and "T" in self._axes and self.divisions_check.isChecked(),
            split=self.split_check.isChecked(),
            min_size=self.size_box.value(),
        )

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

    def _update(self, _index: int = 0) -> None:
        output = self.output_box.currentIndex()
        self.divisions_check.setVisible(output == LINKED and "T" in self._axes)
        self.split_check.setEnabled(self.objects_requested)
        self.size_box.setEnabled(self.objects_requested)
        self.changed.emit()
