"""Before | after: the frame in view by the base model and by the new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.frame_view import show_frame
from napari_vrp_sam.plugin.layers.outlines import FrameOutline
from napari_vrp_sam.plugin.widgets.controls import set_help

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_vrp_sam.fine_tuning.events import Comparison
    from napari_vrp_sam.inference.frames import Frames

OFF, BEFORE, AFTER = range(3)


class ComparisonBox(QWidget):
    """One Labels layer that outlines either of the two; hidden until there is something to show.

    Signals
    -------
    warned : (sentence,)
        Why neither can be shown.
    """

    warned = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        # Seen above an annotation of the same colour, too.
        self._outline = FrameOutline(viewer, "before | after", opacity=1.0)
        self._image: Image | None = None
        self._frames: Frames | None = None
        self._compared: Comparison | None = None
        self.label = QLabel()
        self._group = QButtonGroup(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.label, 1)
        for choice, text, tip in (
            (BEFORE, "Before", "Outline what the base model finds on the frame."),
            (AFTER, "After", "Outline what the new model finds on the frame."),
            (OFF, "Off", "Outline neither."),
        ):
            button = QPushButton(text)
            button.setCheckable(True)
            button.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
            set_help(button, tip)
            self._group.addButton(button, choice)
            layout.addWidget(button)
        self._group.idClicked.connect(self._chosen)
        viewer.layers.events.removed.connect(self._removed)
        self.hide()

    def button(self, choice: int) -> Any:
        """The button of `BEFORE`, `AFTER` or `OFF`."""
        return self._group.button(choice)

    @property
    def shown(self) -> int:
        """Which of the two is outlined, if any."""
        return self._group.checkedId() if self._compared is not None else OFF

    def begin(self, image: Image, frames: Frames) -> None:
        """A run on this image starts: there is nothing to compare yet."""
        self.clear()
        self._image, self._frames = image, frames

    def take(self, compared: Comparison) -> None:
        """Outline what is new, where the user has not chosen otherwise."""
        first = self._compared is None
        self._compared = compared
        if self._image is None or self._image not in self._viewer.layers:
            return
        assert self._frames is not None
        position = ", ".join(map(str, self._frames.position(compared.frame)))
        self.label.setText(f"Frame {position}" if position else "Image")
        self.show()
        if first:
            self.button(AFTER).setChecked(True)
        self._draw()

    def clear(self) -> None:
        """Compare nothing."""
        self._outline.remove()
        self._image = self._frames = self._compared = None
        self.hide()

    def release(self) -> None:
        """Let go of the viewer, which is closing."""
        self.clear()
        self._viewer.layers.events.removed.disconnect(self._removed)

    def _chosen(self, choice: int) -> None:
        self._draw()
        # Who asks for a look may have scrolled elsewhere.
        if choice != OFF and self._compared is not None and self._image is not None:
            assert self._frames is not None
            show_frame(self._image, self._frames, self._viewer.dims, self._compared.frame)

    def _draw(self) -> None:
        compared, image, frames = self._compared, self._image, self._frames
        if compared is None or image is None or frames is None or self.shown == OFF:
            self._outline.remove()
            return
        labels = compared.before if self.shown == BEFORE else compared.after
        try:
            self._outline.show(image, frames, compared.frame, labels)
        except InputError as mistake:
            self.button(OFF).setChecked(True)  # or every comparison would say it again
            self.warned.emit(str(mistake))

    def _removed(self, event: Any) -> None:
        if event.value is self._image:
            self.clear()
        elif event.value is self._outline.layer:
            self.button(OFF).setChecked(True)  # who deletes it wants none
            self._outline.layer = None
