"""Small Qt controls that follow the viewer: a choice of layer, a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from qtpy.QtCore import Qt
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import (
    QComboBox,
    QLabel,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

if TYPE_CHECKING:
    pass

Severity = Literal["info", "warning", "error"]
SEVERITY_COLOURS = {"info": "#3b8ed0", "warning": "#d99a00", "error": "#d9433f"}
"""Legible on the dark and on the light theme; only a bar, the text keeps the theme's colour."""


TEXT_MARGIN = 8
"""Pixels that napari's style keeps free around the text of a combo box."""

PRIMARY_STYLE = """
QPushButton { background-color: #3d6fd1; color: white; font-weight: bold; }
QPushButton:hover { background-color: #4b7de0; }
QPushButton:disabled { background-color: rgba(128, 128, 128, 70); color: gray; }
"""
"""Style of the one button that does the work, for either theme."""


def set_help(widget: QWidget, text: str) -> None:
    """Give a control its tooltip, wrapped, and readable to a screen reader."""
    widget.setToolTip(f"<qt>{text}</qt>")
    widget.setAccessibleDescription(text)


class NarrowComboBox(QComboBox):
    """A combo box that shortens a long entry instead of widening the dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Draw the box with its text shortened in the middle."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        room = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, Qt.TextElideMode.ElideMiddle, room.width() - TEXT_MARGIN
        )
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


class MessageLabel(QLabel):
    """One sentence for the user, with a bar whose colour tells how much it matters."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        self.show_message("")

    def show_message(self, text: str, severity: Severity = "info") -> None:
        """Show a sentence; an empty one hides the label."""
        self.severity = severity
        self.setText(text)
        self.setStyleSheet(
            f"QLabel {{ border-left: 3px solid {SEVERITY_COLOURS[severity]}; padding: 2px 0 2px 7px; }}"
        )
        self.setVisible(bool(text))
