"""Helpers and small widgets shared by all docks: tooltips, a combo box, a message label."""

from __future__ import annotations

from html import escape
from typing import Literal

from qtpy.QtCore import Qt
from qtpy.QtGui import QPaintEvent, QResizeEvent
from qtpy.QtWidgets import (
    QBoxLayout,
    QComboBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

from napari_vrp_sam.plugin.widgets.wheel import WheelFilter

Severity = Literal["info", "warning", "error"]
SEVERITY_COLOURS = {"info": "#3b8ed0", "warning": "#d99a00", "error": "#d9433f"}
"""Colours of the bar beside a message, visible in the dark and the light theme."""

TEXT_MARGIN = 8
"""Pixels of padding around the text of a combo box in napari's style."""

BUTTON_PADDING = 16
"""Pixels of padding around the text of a button in napari's style."""

PRIMARY_STYLE = """
QPushButton { background-color: #3d6fd1; color: white; font-weight: bold; }
QPushButton:hover { background-color: #4b7de0; }
QPushButton:disabled { background-color: rgba(128, 128, 128, 70); color: gray; }
"""
"""Style of the main button of a dock, for both themes."""


def set_help(widget: QWidget, text: str) -> None:
    """Set the tooltip of a widget, word-wrapped, and its accessible description."""
    widget.setToolTip(f"<qt>{text}</qt>")
    widget.setAccessibleDescription(text)


def form_layout() -> QFormLayout:
    """Return a layout of labelled rows."""
    form = QFormLayout()
    form.setContentsMargins(0, 0, 0, 0)
    form.setHorizontalSpacing(8)
    form.setVerticalSpacing(5)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def add_wide_row(form: QFormLayout, text: str, field: QWidget) -> None:
    """Add a field below its label, because it is too wide for a row of a narrow dock."""
    # Qt's own wrapping of rows does not reserve the height.
    label = QLabel(text)
    label.setBuddy(field)
    form.addRow(label)
    form.addRow(field)


def keep_place(widget: QWidget) -> None:
    """Reserve the place of a widget while it is hidden, so that the others do not move."""
    policy = widget.sizePolicy()
    policy.setRetainSizeWhenHidden(True)
    widget.setSizePolicy(policy)


def pack(layout: QBoxLayout, *widgets: QWidget, spacing: int = -1) -> None:
    """Add widgets to a layout without margins; a spacing of -1 is the style's default."""
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for widget in widgets:
        layout.addWidget(widget)


class NarrowComboBox(QComboBox):
    """Combo box that elides a long name instead of widening the dock.

    Parameters
    ----------
    elided : bool
        False: the box is always as wide as its longest entry.
    """

    def __init__(self, *, elided: bool = True) -> None:
        super().__init__()
        WheelFilter(self)
        if elided:
            self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            self.setMinimumContentsLength(3)
        else:
            self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToContents)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Draw the box with its text elided in the middle."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, Qt.TextElideMode.ElideMiddle, field.width() - TEXT_MARGIN
        )
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


class ElidedButton(QPushButton):
    """Button that elides a long text, such as a layer name, instead of widening the dock."""

    def __init__(self, reserved: int = BUTTON_PADDING) -> None:
        super().__init__()
        self._reserved = reserved
        self._full = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    @property
    def full_text(self) -> str:
        """Text without elision."""
        return self._full

    def show_text(self, text: str) -> None:
        """Show a text, elided in the middle if it is wider than the button."""
        self._full = text
        self.setAccessibleName(text)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Elide the text to the new width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        width = self.width() - self._reserved
        text = self.fontMetrics().elidedText(self._full, Qt.TextElideMode.ElideMiddle, width)
        # A single & would mark the next letter as a shortcut.
        self.setText(text.replace("&", "&&"))


class MessageLabel(QLabel):
    """Message for the user, with a bar in the colour of its severity; hidden if empty."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        self.show_message("")

    def show_message(self, text: str, severity: Severity = "info") -> None:
        """Show a message; an empty one hides the label."""
        self.severity = severity
        self.setText(text)
        bar = f"border-left: 3px solid {SEVERITY_COLOURS[severity]}"
        self.setStyleSheet(f"QLabel {{ {bar}; padding: 2px 4px 2px 7px; }}")
        self.setVisible(bool(text))


class ElidedLabel(QLabel):
    """Label of one line that is elided where it does not fit, with the whole text as tooltip."""

    def __init__(self) -> None:
        super().__init__()
        self.full_text = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def set_full_text(self, text: str, more: str = "") -> None:
        """Show a text; the tooltip says more."""
        self.full_text = text
        set_help(self, escape(more or text))
        self._elide()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Elide the text for another width."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        metrics, width = self.fontMetrics(), self.width() - 2  # labels need two pixels more
        self.setText(metrics.elidedText(self.full_text, Qt.TextElideMode.ElideRight, width))
