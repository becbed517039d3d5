"""Base class of the plots, which paint themselves: napari installs no plotting library."""

from __future__ import annotations

from qtpy.QtCore import QSize
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_vrp_sam.plugin.widgets.controls import set_help

BLUE, AMBER, GREEN = QColor("#0077bb"), QColor("#b45f06"), QColor("#00816a")
"""Colours that differ for colour-blind users, with a contrast of 3:1 in both themes."""


class Plot(QWidget):
    """Painted plot of fixed height that takes the width of its dock."""

    def __init__(self, name: str, help_text: str, height: int):
        super().__init__()
        self._height = height
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(name)
        set_help(self, help_text)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the preferred size; the layout may widen it."""
        return QSize(200, self._height)

    def text_colour(self, alpha: int = 255) -> QColor:
        """Return the text colour of the theme, with an opacity of 0 to 255."""
        return with_alpha(self.palette().color(QPalette.ColorRole.WindowText), alpha)


def with_alpha(colour: QColor, alpha: int) -> QColor:
    """Return a copy of a colour with an opacity of 0 to 255."""
    copy = QColor(colour)
    copy.setAlpha(alpha)
    return copy
