"""A clickable bar plot of the confidence of each frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QToolTip

from napari_vrp_sam.plugin.widgets.plot import AMBER, BLUE, GREEN, Plot

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

HEIGHT = 54
MARGIN = 2
"""Number of empty frames shown on either side of the known frames of a long stack."""

LOW = 0.5
"""Frames with a lower expected IoU are drawn as uncertain."""


class ConfidencePlot(Plot):
    """A bar for each frame, as high as the confidence of its segmentation."""

    chosen = Signal(int)
    """Emits the index of the frame that was clicked or reached with the arrow keys."""

    def __init__(self) -> None:
        super().__init__(
            "Confidence of each frame",
            "Confidence of each frame: the expected IoU of its segmentation. Check the frames with "
            "low bars; green bars are accepted frames. Click a bar or use the arrow keys to go to "
            "a frame.",
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
    def shown(self) -> range:
        """Frames on the axis; for a very long stack, only the range of the known frames."""
        known = self._accepted | self._confidence.keys()
        if self._length <= self.width() or not known:
            return range(self._length)
        return range(max(min(known) - MARGIN, 0), min(max(known) + 1 + MARGIN, self._length))

    def bar(self, frame: int) -> QRectF:
        """Return the rectangle of a frame's bar in widget coordinates."""
        width = self.width() / max(len(self.shown), 1)
        value = 1.0 if frame in self._accepted else self._confidence.get(frame, 0.0)
        height = max(value * (self.height() - 6), 1.0)
        gap = 1.0 if width >= 4 else 0.0
        left = (frame - self.shown.start) * width
        return QRectF(left, self.height() - 3 - height, width - gap, height)

    def frame_at(self, point: QPointF) -> int | None:
        """Return the frame whose column contains a point, or the nearest; None if empty."""
        if not self._length:
            return None
        shown = self.shown
        column = int(point.x() * len(shown) / max(self.width(), 1))
        return shown[min(max(column, 0), len(shown) - 1)]

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Draw the bars and the frame in view."""
        painter = QPainter(self)
        text, faint = self.text_colour(), self.text_colour(40)
        painter.fillRect(QRectF(0, self.height() - 3, self.width(), 1), faint)
        for frame in self.shown:
            if frame == self._current:
                bar = self.bar(frame)
                column = QRectF(bar.left(), 0, max(bar.width(), 2.0), self.height())
                painter.fillRect(column, faint)
                painter.fillRect(QRectF(column.left(), self.height() - 2, column.width(), 2), text)
            if frame in self._accepted or frame in self._confidence:
                painter.fillRect(self.bar(frame), self._colour(frame))

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
