"""A line around a control, to point at it whatever it is and whatever the theme."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QPoint, QRect, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

MARGIN, LINE = 3, 2
"""Pixels between the control and the line, and width of the line."""


class Outline(QWidget):
    """Lies above the controls of a widget, open to the mouse, and goes along with one of them.

    Parameters
    ----------
    colour : str
    holders : QWidget
        Each holds controls, and moves with them where they are scrolled; the inner before the
        outer ones.
    """

    def __init__(self, colour: str, *holders: QWidget) -> None:
        super().__init__(holders[0])
        self._holders = holders
        self._colour = QColor(colour)
        self.control: QWidget | None = None
        """What it lies around."""
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def point_at(self, control: QWidget | None) -> None:
        """Lie around a control inside the holder; nowhere where it is not to be seen."""
        if control is not self.control:
            if self.control is not None:
                self.control.removeEventFilter(self)
            if control is not None:
                control.installEventFilter(self)
            self.control = control
        if control is None or not control.isVisible():
            self.hide()
            return
        holder = next(holder for holder in self._holders if holder.isAncestorOf(control))
        if holder is not self.parentWidget():
            self.setParent(holder)
        place = QRect(control.mapTo(holder, QPoint(0, 0)), control.size())
        self.setGeometry(place.adjusted(-MARGIN, -MARGIN, MARGIN, MARGIN))
        self.show()
        self.raise_()

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Go along with the control."""
        if event.type() in {QEvent.Type.Move, QEvent.Type.Resize, QEvent.Type.Hide}:
            self.point_at(self.control)
        return False

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Draw the line."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._colour, LINE))
        painter.drawRoundedRect(self.rect().adjusted(1, 1, -LINE, -LINE), 5, 5)
