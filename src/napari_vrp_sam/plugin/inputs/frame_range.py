"""Which frames to segment."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QSpinBox, QWidget

from napari_vrp_sam.plugin.widgets.controls import set_help


class FrameRange(QWidget):
    """First and last frame of a run, as napari's slider numbers them; all unless chosen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._length = 0
        self.first, self.last = QSpinBox(), QSpinBox()
        set_help(self.first, "The first frame to segment; those before it stay empty.")
        set_help(self.last, "The last frame to segment; those after it stay empty.")
        self.first.setAccessibleName("First frame")
        self.last.setAccessibleName("Last frame")
        for box in (self.first, self.last):  # napari's style would widen the dock
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            # Without buttons, which would take the room of the number; keys and wheel do as well.
            box.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
            box.setStyleSheet("QSpinBox { min-width: 40px; }")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.first, 1)
        layout.addWidget(QLabel("to"))
        layout.addWidget(self.last, 1)
        # Each gives way to the other, so that a range is never empty.
        self.first.valueChanged.connect(self.last.setMinimum)
        self.last.valueChanged.connect(self.first.setMaximum)

    def set_length(self, length: int) -> None:
        """Offer the frames of a stack; all of them are chosen if their number is another one."""
        if length == self._length:
            return
        self._length = length
        highest = max(length - 1, 0)
        self.last.setRange(0, highest)
        self.first.setRange(0, highest)
        self.first.setValue(0)
        self.last.setValue(highest)

    def choose(self, frames: tuple[int | None, int | None] | None) -> None:
        """Take a first frame and the one after the last; None for all, or for either end."""
        first, stop = frames or (None, None)
        highest = max(self._length - 1, 0)
        self.first.setValue(0)  # out of the way of the last one
        self.last.setValue(highest if stop is None else stop - 1)
        self.first.setValue(first or 0)

    def value(self) -> tuple[int, int] | None:
        """First frame and the one after the last; None for all."""
        chosen = self.first.value(), self.last.value() + 1
        return None if chosen == (0, self._length) or not self._length else chosen
