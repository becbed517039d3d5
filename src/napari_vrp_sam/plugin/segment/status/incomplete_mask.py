"""Warning that a mask seems to be incomplete, with a button that makes it a partial mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_vrp_sam.plugin.widgets.controls import MessageLabel, pack, set_help

if TYPE_CHECKING:
    from napari_vrp_sam.models.calibration import ClassCalibration
    from napari_vrp_sam.plugin.classes.annotation_list import AnnotationList


class IncompleteMaskWarning(QWidget):
    """Message and button; hidden without a warning, and after a change of the annotations."""

    def __init__(self, annotation_list: AnnotationList) -> None:
        super().__init__()
        self._annotation_list = annotation_list
        self.message = MessageLabel()
        self.button = QPushButton("Only some are marked")
        set_help(
            self.button,
            "Treat the masks as <b>partial</b>: unmarked pixels are unknown, not background.",
        )
        pack(QVBoxLayout(self), self.message, self.button)
        self.button.clicked.connect(self._accept)
        self._annotations = self._annotated()
        annotation_list.changed.connect(self._on_annotations)
        self.hide()

    def show_calibrations(self, calibrations: Mapping[int, ClassCalibration]) -> None:
        """Show the first warning of the classes, or hide."""
        found = [c.look_alikes for _, c in sorted(calibrations.items()) if c.look_alikes]
        self.message.show_message(str(found[0]) if found else "", "warning")
        self.setVisible(bool(found))

    def _annotated(self) -> list[tuple[int, str]]:
        return [(id(one.layer), one.kind) for one in self._annotation_list.annotations]

    def _on_annotations(self) -> None:
        """Hide unless the list has changed for another reason, such as the layer of the preview."""
        annotations = self._annotated()
        if annotations != self._annotations:
            self._annotations = annotations
            self.hide()

    def _accept(self) -> None:
        for row in self._annotation_list.rows:
            if row.ticked and row.kind == "mask":
                self._annotation_list.set_kind(row.layer, "partial")
        self.hide()
