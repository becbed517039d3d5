"""Comparison of the base model and the new model on one frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.frame_view import show_frame
from napari_vrp_sam.plugin.layers.outputs.outlines import FrameOutline
from napari_vrp_sam.plugin.widgets.controls import pack, set_help

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_vrp_sam.fine_tuning.events import Comparison
    from napari_vrp_sam.inference.frames import Frames

OFF, BEFORE, AFTER = range(3)


class ComparisonBox(QWidget):
    """Buttons that outline the labels of either model on the image; hidden without a comparison.

    Signals
    -------
    warned : (message,)
    """

    warned = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._outline = FrameOutline(viewer, "before | after")
        self._target: tuple[Image, Frames] | None = None
        self._comparison: Comparison | None = None
        self.label = QLabel()
        self._group = QButtonGroup(self)
        layout, row = QHBoxLayout(), QVBoxLayout(self)
        layout.setSpacing(3)
        pack(row, self.label, spacing=2)
        row.addLayout(layout)
        for choice, text, tip in (
            (BEFORE, "Before", "Outline the labels from the base model."),
            (AFTER, "After", "Outline the labels from the new model."),
            (OFF, "Off", "Show no outlines."),
        ):
            button = QPushButton(text)
            button.setCheckable(True)
            button.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
            set_help(button, tip)
            self._group.addButton(button, choice)
            layout.addWidget(button)
        self._group.idClicked.connect(self._on_clicked)
        viewer.layers.events.removed.connect(self._on_removed)
        self.hide()

    def button(self, choice: int) -> Any:
        """Return the button of `BEFORE`, `AFTER` or `OFF`."""
        return self._group.button(choice)

    @property
    def shown(self) -> int:
        """`BEFORE`, `AFTER` or `OFF`."""
        return self._group.checkedId() if self._comparison is not None else OFF

    def start(self, image: Image, frames: Frames) -> None:
        """Prepare for the comparisons of a run on an image."""
        self.clear()
        self._target = image, frames

    def show_comparison(self, comparison: Comparison) -> None:
        """Show a comparison; the first one outlines the labels by the new model."""
        first = self._comparison is None
        self._comparison = comparison
        if self._target is None:
            return
        _, frames = self._target
        position = ", ".join(map(str, frames.position(comparison.frame)))
        self.label.setText(f"Frame {position}" if position else "Image")
        self.show()
        if first:
            self.button(AFTER).setChecked(True)
        self._draw()

    def clear(self) -> None:
        """Remove the comparison."""
        self._outline.remove()
        self._target = self._comparison = None
        self.hide()

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        self.clear()
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _on_clicked(self, choice: int) -> None:
        self._draw()
        if choice != OFF and self._comparison is not None and self._target is not None:
            show_frame(*self._target, self._viewer.dims, self._comparison.frame)

    def _draw(self) -> None:
        comparison = self._comparison
        if comparison is None or self._target is None or self.shown == OFF:
            self._outline.remove()
            return
        labels = comparison.before if self.shown == BEFORE else comparison.after
        try:
            self._outline.show(*self._target, comparison.frame, labels)
        except InputError as error:
            self.button(OFF).setChecked(True)  # or each comparison would warn again
            self.warned.emit(str(error))

    def _on_removed(self, event: Any) -> None:
        if self._target is not None and event.value is self._target[0]:
            self.clear()
        elif event.value is self._outline.layer:
            self.button(OFF).setChecked(True)
            self._outline.layer = None
