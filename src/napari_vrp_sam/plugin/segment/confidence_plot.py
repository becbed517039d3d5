"""Confidence of every frame, drawn: a bar each, to be clicked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPalette
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_vrp_sam.plugin.widgets.controls import set_help
from napari_vrp_sam.plugin.widgets.plot_colours import ACCEPTED, AMBER, BLUE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

HEIGHT = 54
MARGIN = 2
"""Frames drawn beside the known ones of a long stack."""

LOW = 0.5
"""A frame of a lower expected IoU is worth a look."""


class ConfidencePlot(QWidget):
    """A bar for each frame, as high as the confidence in its result.

    Signals
    -------
    chosen : (frame,)
        Index of a frame that was clicked, or reached with the arrow keys.
    """

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._length = 0
        self._confidence: dict[int, float] = {}
        self._accepted: frozenset[int] = frozenset()
        self._current: int | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Confidence of each frame")
        set_help(
            self,
            "Confidence of each frame: the IoU to expect of its result. Low bars are worth a look; "
            "green ones are accepted. Click on a bar, or use the arrow keys, to go to the frame.",
        )

    def sizeHint(self) -> QSize:  # noqa: N802
        """As wide as there is room for."""
        return QSize(200, HEIGHT)

    def show_stack(
        self, length: int, confidence: Mapping[int, float], accepted: Collection[int]
    ) -> None:
        """Draw the frames of a stack.

        Parameters
        ----------
        length : int
            Number of frames.
        confidence : mapping of int to float
            In 0..1, of the frames that have one.
        accepted : collection of int
            Frames that need no confidence.
        """
        self._length, self._confidence = length, dict(confidence)
        self._accepted = frozenset(accepted)
        self.update()

    def mark(self, frame: int | None) -> None:
        """Point out the frame in view."""
        self._current = frame
        self.update()

    @property
    def shown(self) -> range:
        """The frames that are drawn: of a very long stack only those around what is known."""
        known = self._accepted | self._confidence.keys()
        if self._length <= self.width() or not known:
            return range(self._length)
        return range(max(min(known) - MARGIN, 0), min(max(known) + 1 + MARGIN, self._length))

    def bar(self, frame: int) -> QRectF:
        """Where the bar of a frame is."""
        width = self.width() / max(len(self.shown), 1)
        value = 1.0 if frame in self._accepted else self._confidence.get(frame, 0.0)
        height = max(value * (self.height() - 6), 1.0)
        # Bars stand apart as long as there is room for it.
        gap = 1.0 if width >= 4 else 0.0
        left = (frame - self.shown.start) * width
        return QRectF(left, self.height() - 3 - height, width - gap, height)

    def frame_at(self, point: QPointF) -> int | None:
        """The frame whose column holds a point."""
        if not self._length:
            return None
        shown = self.shown
        column = int(point.x() * len(shown) / max(self.width(), 1))
        return shown[min(max(column, 0), len(shown) - 1)]

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Draw the bars."""
        painter = QPainter(self)
        text = self.palette().color(QPalette.ColorRole.WindowText)
        faint = QColor(text)
        faint.setAlpha(40)
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
        """Go to the frame."""
        self._choose(self.frame_at(event.position()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Tell what is under the pointer, and scrub through the frames while a button is held."""
        frame = self.frame_at(event.position())
        if frame is None:
            return
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._choose(frame)
        QToolTip.showText(event.globalPosition().toPoint(), self._words(frame), self)

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802
        """Arrow keys go from frame to frame."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(event.key())
        if step is None or not self._length:
            super().keyPressEvent(event)
            return
        here = self._current if self._current is not None else 0
        self._choose(min(max(here + step, 0), self._length - 1))

    def _choose(self, frame: int | None) -> None:
        if frame is not None and frame != self._current:
            self.chosen.emit(frame)

    def _colour(self, frame: int) -> QColor:
        if frame in self._accepted:
            return ACCEPTED
        return BLUE if self._confidence[frame] >= LOW else AMBER

    def _words(self, frame: int) -> str:
        if frame in self._accepted:
            return f"Frame {frame}: accepted"
        if frame in self._confidence:
            return f"Frame {frame}: {self._confidence[frame]:.2f}"
        return f"Frame {frame}: nothing found yet"
