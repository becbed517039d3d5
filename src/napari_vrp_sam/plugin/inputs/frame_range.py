"""Range of the frames to segment."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QLabel, QWidget

from napari_vrp_sam.plugin.widgets.controls import set_help
from napari_vrp_sam.plugin.widgets.spin_boxes import SpinBox


class FrameRange(QWidget):
    """Spin boxes for the first and the last frame, numbered as in napari's slider."""

    def __init__(self) -> None:
        super().__init__()
        self._length = 0
        self.first, self.last = SpinBox(), SpinBox()
        set_help(self.first, "First frame to segment; earlier frames stay empty.")
        set_help(self.last, "Last frame to segment; later frames stay empty.")
        self.first.setAccessibleName("First frame")
        self.last.setAccessibleName("Last frame")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.first, 1)
        layout.addWidget(QLabel("to"))
        layout.addWidget(self.last, 1)
        # Each limits the other, so that the range is never empty.
        self.first.valueChanged.connect(self.last.setMinimum)
        self.last.valueChanged.connect(self.first.setMaximum)

    def set_length(self, length: int) -> None:
        """Set the number of frames; choose all of them if the number has changed."""
        if length == self._length:
            return
        self._length = length
        highest = max(length - 1, 0)
        self.last.setRange(0, highest)
        self.first.setRange(0, highest)
        self.first.setValue(0)
        self.last.setValue(highest)

    def choose(self, frames: tuple[int | None, int | None] | None) -> None:
        """Choose the frames of a range (first, stop); None for all, or for either end."""
        first, stop = frames or (None, None)
        highest = max(self._length - 1, 0)
        self.first.setValue(0)  # must not limit the last frame
        self.last.setValue(highest if stop is None else stop - 1)
        self.first.setValue(first or 0)

    def value(self) -> tuple[int, int] | None:
        """Return the chosen range as (first, stop), or None for all frames."""
        chosen = self.first.value(), self.last.value() + 1
        return None if chosen == (0, self._length) or not self._length else chosen
