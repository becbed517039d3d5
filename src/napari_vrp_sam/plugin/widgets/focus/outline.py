"""A coloured outline around a control, independent of style sheets and themes."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QPoint, QRect, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

MARGIN, LINE_WIDTH = 3, 2
"""Distance from the control and width of the line, in pixels."""


class Outline(QWidget):
    """Overlay that outlines one control and follows its geometry; mouse events pass through.

    Parameters
    ----------
    colour : str
    containers : QWidget
        Widgets that contain the controls, innermost first; the outline becomes a child of the first
        one that contains the control, so that it scrolls with it.
    """

    def __init__(self, colour: str, *containers: QWidget) -> None:
        super().__init__(containers[0])
        self._containers = containers
        self._colour = QColor(colour)
        self.control: QWidget | None = None
        """Outlined control."""
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def point_at(self, control: QWidget | None) -> None:
        """Outline a control inside one of the containers; hide if it is None or not visible."""
        if control is not self.control:
            for widget in self._watched(self.control):
                widget.removeEventFilter(self)
            for widget in self._watched(control):
                widget.installEventFilter(self)
            self.control = control
        if control is None or not control.isVisible():
            self.hide()
            return
        container = next(c for c in self._containers if c.isAncestorOf(control))
        if container is not self.parentWidget():
            self.setParent(container)
        geometry = QRect(control.mapTo(container, QPoint(0, 0)), control.size())
        self.setGeometry(geometry.adjusted(-MARGIN, -MARGIN, MARGIN, MARGIN))
        self.show()
        self.raise_()

    def _watched(self, control: QWidget | None) -> list[QWidget]:
        """Return a control and the parents that move it within a container."""
        widgets = []
        while control is not None and control not in self._containers:
            widgets.append(control)
            control = control.parentWidget()
        return widgets

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Follow the geometry of the control and of its parents."""
        if event.type() in {QEvent.Type.Move, QEvent.Type.Resize, QEvent.Type.Hide}:
            self.point_at(self.control)
        return False

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Draw the line."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._colour, LINE_WIDTH))
        painter.drawRoundedRect(self.rect().adjusted(1, 1, -LINE_WIDTH, -LINE_WIDTH), 5, 5)
