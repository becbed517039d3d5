"""Warning that a mask seems to be incomplete, with a button that makes it a partial mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton

from napari_vrp_sam.plugin.widgets.controls import set_help

if TYPE_CHECKING:
    from napari_vrp_sam.models.calibration import ClassCalibration
    from napari_vrp_sam.plugin.classes.annotation_list import AnnotationList


class IncompleteMaskButton(QPushButton):
    """Button that changes the kind of incomplete masks to partial masks.

    The status shows the warning; without one, and after a change of the annotations, the button is
    hidden.

    Signals
    -------
    warned : (text,)
        The warning; empty when it is no longer true.
    """

    warned = Signal(str)
    accepted = Signal()
    """Emitted after the masks have become partial masks."""

    def __init__(self, annotation_list: AnnotationList) -> None:
        super().__init__("Only some are marked")
        self._annotation_list = annotation_list
        set_help(
            self,
            "Treat the masks as <b>partial</b>: unmarked pixels are unknown, not background.",
        )
        self.clicked.connect(self._accept)
        self._annotations = self._annotated()
        annotation_list.changed.connect(self._on_annotations)
        self.hide()

    def show_calibrations(self, calibrations: Mapping[int, ClassCalibration]) -> None:
        """Give the first warning of the classes, or withdraw it."""
        found = [c.look_alikes for _, c in sorted(calibrations.items()) if c.look_alikes]
        self._show(str(found[0]) if found else "")

    def withdraw(self) -> None:
        """Withdraw the warning."""
        self._show("")

    def _show(self, text: str) -> None:
        self.setVisible(bool(text))
        self.warned.emit(text)

    def _annotated(self) -> list[tuple[int, str]]:
        return [(id(one.layer), one.kind) for one in self._annotation_list.annotations]

    def _on_annotations(self) -> None:
        """Withdraw unless the list has changed for another reason, such as a preview."""
        annotations = self._annotated()
        if annotations != self._annotations:
            self._annotations = annotations
            self.withdraw()

    def _accept(self) -> None:
        for row in self._annotation_list.rows:
            if row.ticked and row.kind == "mask":
                self._annotation_list.set_kind(row.layer, "partial")
        self.withdraw()
        self.accepted.emit()
