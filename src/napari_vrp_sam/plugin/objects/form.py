"""What an object is: the choices of the section 'Objects'."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QSizePolicy, QSpinBox, QWidget

from napari_vrp_sam.inference.objects.find import ObjectSettings
from napari_vrp_sam.plugin.widgets.controls import NarrowComboBox, set_help

CLASSES, ON_FRAMES, LINKED = range(3)
"""Rows of the choice of output; a single frame has no third."""


class ObjectsForm(QWidget):
    """Choices that fit the axes of the image."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._axes = ""
        self.output_box = NarrowComboBox()
        self.split_check = QCheckBox("Split touching objects")
        self.divisions_check = QCheckBox("Divisions")
        self.size_box = QSpinBox()
        self.output_box.addItems(["Classes", "Objects on each frame"])
        self.split_check.setChecked(True)
        self.size_box.setRange(0, 1_000_000)
        self.size_box.setSuffix(" px")
        self.size_box.setSpecialValueText("any")
        # napari's style would widen the dock.
        self.size_box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._explain()
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setHorizontalSpacing(8)
        form.setVerticalSpacing(5)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Output", self.output_box)
        form.addRow(self.split_check)
        form.addRow(self.divisions_check)
        form.addRow("Least size", self.size_box)
        self.output_box.currentIndexChanged.connect(self._follow)
        self._follow()

    @property
    def wanted(self) -> bool:
        """Whether objects are wanted, not classes alone."""
        return self.output_box.currentIndex() != CLASSES

    def settings(self) -> ObjectSettings:
        """The choices, those that apply."""
        linked = self.output_box.currentIndex() == LINKED
        return ObjectSettings(
            linked=linked,
            divisions=linked and "T" in self._axes and self.divisions_check.isChecked(),
            split=self.split_check.isChecked(),
            min_size=self.size_box.value(),
        )

    def offer(self, axes: str) -> None:
        """Offer to link objects through those of the axes that are T or Z."""
        self._axes = "".join(axis for axis in "ZT" if axis in axes)
        if self._axes:
            text = f"Objects through {' and '.join(self._axes)}"
            if self.output_box.count() == LINKED:
                self.output_box.addItem(text)
            self.output_box.setItemText(LINKED, text)
        elif self.output_box.count() > LINKED:
            self.output_box.removeItem(LINKED)
        self._follow()

    def _follow(self, _index: int = 0) -> None:
        output = self.output_box.currentIndex()
        self.divisions_check.setVisible(output == LINKED and "T" in self._axes)
        self.split_check.setEnabled(self.wanted)
        self.size_box.setEnabled(self.wanted)
        self.changed.emit()

    def _explain(self) -> None:
        set_help(
            self.output_box,
            "<b>Classes</b>: the result as it is. <b>Objects on each frame</b>: also a layer in "
            "which each object of a frame has a number of its own. <b>Objects through…</b>: one "
            "number through the stack for objects that overlap from frame to frame. Unless it is "
            "Classes, objects are found at the end of each run.",
        )
        set_help(
            self.split_check,
            "Cut objects of a class that touch at their necks; else whatever is connected is one.",
        )
        set_help(
            self.divisions_check,
            "An object may become two through T: both get new numbers, and know their parent.",
        )
        set_help(self.size_box, "Objects of fewer pixels on a frame are left out.")
