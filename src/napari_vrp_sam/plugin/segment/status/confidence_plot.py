"""A clickable bar plot of the confidence of each frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QToolTip

from napari_vrp_sam.plugin.widgets.plot import AMBER, BLUE, GREEN, Plot

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

HEIGHT = 76
TOP, GAP = 6, 4
"""Pixels above the highest bar, and between the axes and their numbers."""
MARGIN = 2
"""Number of empty frames shown on either side of the known frames of a long stack."""
CAPTIONS = "Confidence of each frame", "Confidence"
"""Caption below the axis, and a shorter one for a narrow dock."""

LOW = 0.5
"""Frames with a lower expected IoU are drawn as uncertain."""


class ConfidencePlot(Plot):
    """A bar for each frame, as high as the confidence of its segmentation."""

    chosen = Signal(int)
    """Emits the index of the frame that was clicked or reached with the arrow keys."""

    def __init__(self) -> None:
        super().__init__(
            "Confidence of each frame",
            "Confidence of each frame: the expected IoU of its segmentation. Check the frames "
            f"whose bar is yellow and below the line at {LOW:g}; green bars are accepted frames. "
            "Click a bar or use the arrow keys to go to a frame.",
            HEIGHT,
        )
        self._length = 0
        self._confidence: dict[int, float] = {}
        self._accepted: frozenset[int] = frozenset()
        self._current: int | None = None
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setMouseTracking(True)

    def show_stack(
        self, length: int, confidence: Mapping[int, float], accepted: Collection[int]
    ) -> None:
        """Plot the frames of a stack.

        Parameters
        ----------
        length : int
            Number of frames.
        confidence : mapping of int to float
            Confidence, 0 to 1, by frame index; frames may be missing.
        accepted : collection of int
            Indices of the accepted frames, drawn at full height.
        """
        self._length, self._confidence = length, dict(confidence)
        self._accepted = frozenset(accepted)
        self.update()

    def mark(self, frame: int | None) -> None:
        """Highlight the frame in view."""
        self._current = frame
        self.update()

    @property
    def area(self) -> QRectF:
        """Rectangle of the bars, to the right of and above the numbers of the axes."""
        metrics = self.fontMetrics()
        left = metrics.horizontalAdvance("0.5") + GAP
        bottom = self.height() - metrics.height()
        return QRectF(left, TOP, max(self.width() - left, 1), max(bottom - TOP - 2, 1))

    @property
    def shown(self) -> range:
        """Frames on the axis; for a very long stack, only the range of the known frames."""
        known = self._accepted | self._confidence.keys()
        if self._length <= self.area.width() or not known:
            return range(self._length)
        return range(max(min(known) - MARGIN, 0), min(max(known) + 1 + MARGIN, self._length))

    def bar(self, frame: int) -> QRectF:
        """Return the rectangle of a frame's bar in widget coordinates."""
        area = self.area
        width = area.width() / max(len(self.shown), 1)
        value = 1.0 if frame in self._accepted else self._confidence.get(frame, 0.0)
        height = max(value * area.height(), 1.0)
        gap = 1.0 if width >= 4 else 0.0
        left = area.left() + (frame - self.shown.start) * width
        return QRectF(left, area.bottom() - height, width - gap, height)

    def frame_at(self, point: QPointF) -> int | None:
        """Return the frame whose column contains a point, or the nearest; None if empty."""
        if not self._length:
            return None
        shown, area = self.shown, self.area
        column = int((point.x() - area.left()) * len(shown) / area.width())
        return shown[min(max(column, 0), len(shown) - 1)]

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Draw the bars, the axes and the frame in view."""
        painter = QPainter(self)
        text, faint, area = self.text_colour(), self.text_colour(40), self.area
        for frame in self.shown:
            if frame == self._current:
                bar = self.bar(frame)
                column = QRectF(bar.left(), area.top(), max(bar.width(), 2.0), area.height())
                painter.fillRect(column, faint)
                painter.fillRect(QRectF(column.left(), area.bottom(), column.width(), 2), text)
            if frame in self._accepted or frame in self._confidence:
                painter.fillRect(self.bar(frame), self._colour(frame))
        self._draw_axes(painter)

    def _draw_axes(self, painter: QPainter) -> None:
        """Draw the scale, the level of the warning, and the first and the last frame."""
        area, height = self.area, self.fontMetrics().height()
        right, left = Qt.AlignmentFlag.AlignRight, Qt.AlignmentFlag.AlignLeft
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.setPen(self.text_colour(200))
        for value, line in ((0.0, self.text_colour(90)), (LOW, AMBER), (1.0, None)):
            y = area.bottom() - value * area.height()
            label = QRectF(0, y - height / 2, area.left() - GAP, height)
            painter.drawText(label, right | middle, f"{value:g}")
            if line is not None:
                painter.fillRect(QRectF(area.left(), y, area.width(), 1), line)
        frames = QRectF(area.left(), self.height() - height, area.width(), height)
        if self.shown:
            painter.drawText(frames, left | middle, str(self.shown[0]))
        if len(self.shown) > 1:
            painter.drawText(frames, right | middle, str(self.shown[-1]))
        room = area.width() - 2 * self.fontMetrics().horizontalAdvance(f" {self._length}")
        for caption in CAPTIONS:
            if self.fontMetrics().horizontalAdvance(caption) <= room:
                centre = Qt.AlignmentFlag.AlignHCenter
                painter.drawText(frames, centre | middle, caption)
                break

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Choose the frame under the pointer."""
        self._choose(self.frame_at(event.position()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Show the frame's confidence as a tooltip; choose frames while dragging."""
        frame = self.frame_at(event.position())
        if frame is None:
            return
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._choose(frame)
        QToolTip.showText(event.globalPosition().toPoint(), self._caption(frame), self)

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802
        """Choose the previous or next frame with the arrow keys."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(event.key())
        if step is None or not self._length:
            super().keyPressEvent(event)
            return
        self._choose(min(max((self._current or 0) + step, 0), self._length - 1))

    def _choose(self, frame: int | None) -> None:
        if frame is not None and frame != self._current:
            self.chosen.emit(frame)

    def _colour(self, frame: int) -> QColor:
        if frame in self._accepted:
            return GREEN
        return BLUE if self._confidence[frame] >= LOW else AMBER

    def _caption(self, frame: int) -> str:
        if frame in self._accepted:
            return f"Frame {frame}: accepted"
        if frame in self._confidence:
            return f"Frame {frame}: {self._confidence[frame]:.2f}"
        return f"Frame {frame}: no confidence yet"
