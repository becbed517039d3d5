"""Spin boxes that are wide enough for their longest text.

They have no buttons, for which a narrow dock has no room; keys and wheel replace them.
"""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QDoubleSpinBox, QSpinBox

from napari_vrp_sam.plugin.widgets.wheel import WheelFilter

MARGIN = 6
"""Pixels that a spin box needs besides its text and its padding, in napari's style."""


class SpinBox(QSpinBox):
    """Spin box of integers."""

    def __init__(self) -> None:
        super().__init__()
        self._fitter = _Fitter(self)
        WheelFilter(self)


class DoubleSpinBox(QDoubleSpinBox):
    """Spin box of decimal numbers."""

    def __init__(self) -> None:
        super().__init__()
        self._fitter = _Fitter(self)
        WheelFilter(self)


def longest_text(box: QSpinBox | QDoubleSpinBox) -> str:
    """Return the widest text that a spin box may show."""
    values = [box.textFromValue(value) for value in (box.minimum(), box.maximum())]
    texts = [f"{box.prefix()}{value}{box.suffix()}" for value in values]
    return max([*texts, box.specialValueText()], key=box.fontMetrics().horizontalAdvance)


class _Fitter(QObject):
    """Set the minimum width of a spin box, which napari's style sheet fixes to 70 pixels."""

    def __init__(self, box: QSpinBox | QDoubleSpinBox) -> None:
        super().__init__(box)
        self._box = box
        self._style = ""
        self._fitting = False
        box.setButtonSymbols(box.ButtonSymbols.NoButtons)
        box.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Fit the width when the box is shown, and when its font changes."""
        kinds = (QEvent.Type.Show, QEvent.Type.FontChange, QEvent.Type.StyleChange)
        box = self.__dict__.get("_box")
        # Setting a style sheet changes the font for a moment, which must not set another one.
        if box is not None and watched is box and event.type() in kinds and not self._fitting:
            self._fitting = True
            metrics = box.fontMetrics()
            width = metrics.horizontalAdvance(longest_text(box)) + MARGIN
            style = f"QAbstractSpinBox {{ min-width: {width}px; }}"
            if style != self._style:
                self._style = style
                box.setStyleSheet(style)
            self._fitting = False
        return False
