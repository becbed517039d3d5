"""Warning that a mask seems to be incomplete, with a button that makes it a partial mask."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton

from napari_vrp_sam.plugin.widgets.controls import set_help

if TYPE_CHECKING:
    from napari.layers import Labels, Points, Shapes

    from napari_vrp_sam.models.calibration import ClassCalibration, LookAlikes
    from napari_vrp_sam.plugin.classes.annotation_list import AnnotationList


class IncompleteMaskButton(QPushButton):
    """Button that changes the kind of incomplete masks to partial.

    The status card shows the button with the warning, which a change of the annotations withdraws.

    Parameters
    ----------
    annotation_list : AnnotationList
    accepted : callable
        Returns the indices of the accepted frames.

    Signals
    -------
    warned : (text,)
        The warning; empty when it is no longer true.
    """

    warned = Signal(str)
    accepted = Signal()
    """Emitted after the masks have become partial masks."""

    def __init__(
        self, annotation_list: AnnotationList, accepted: Callable[[], Collection[int]]
    ) -> None:
        super().__init__("Only some are marked")
        self._annotation_list = annotation_list
        self._accepted = accepted
        self._doubted: LookAlikes | None = None
        set_help(
            self,
            "Treat the masks as <b>partial</b>: unmarked pixels are unknown, not background.",
        )
        self.clicked.connect(self._accept)
        self._annotations = self._annotated()
        annotation_list.changed.connect(self._on_annotations)
        self.hide()

    def show_calibrations(self, calibrations: Mapping[int, ClassCalibration]) -> None:
        """Give the first warning of the classes, or withdraw it.

        Accepted frames, which were checked, and masks that are not drawn here are not doubted.
        """
        accepted = self._accepted()
        found = [c.look_alikes for _, c in sorted(calibrations.items()) if c.look_alikes]
        found = [one for one in found if one.frame not in accepted and self._masks()]
        self._doubted = found[0] if found else None
        self.warned.emit(str(found[0]) if found else "")

    def check(self) -> None:
        """Withdraw the warning if its frame was accepted."""
        if self._doubted is not None and self._doubted.frame in self._accepted():
            self.withdraw()

    def withdraw(self) -> None:
        """Withdraw the warning."""
        self._doubted = None
        self.warned.emit("")

    def _annotated(self) -> list[tuple[int, str]]:
        return [(id(one.layer), one.kind) for one in self._annotation_list.annotations]

    def _on_annotations(self) -> None:
        """Withdraw unless the list has changed for another reason, such as a preview."""
        annotations = self._annotated()
        if annotations != self._annotations:
            self._annotations = annotations
            self.withdraw()

    def _masks(self) -> list[Labels | Points | Shapes]:
        rows = self._annotation_list.rows
        return [row.layer for row in rows if row.ticked and row.kind == "mask"]

    def _accept(self) -> None:
        for layer in self._masks():
            self._annotation_list.set_kind(layer, "partial")
        self.withdraw()
        self.accepted.emit()
