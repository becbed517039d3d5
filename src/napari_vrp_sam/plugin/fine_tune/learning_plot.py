"""How a fine-tuning goes, drawn: IoU on what is held out, and the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

from napari_vrp_sam.plugin.widgets.plot import AMBER, BLUE, Plot, with_alpha

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_vrp_sam.fine_tuning.events import TrainingStep, Validation

HEIGHT, GAP, MARGIN = 150, 8, 4
IOU_COLOUR, LOSS_COLOUR = BLUE, AMBER
SMOOTHING = 0.9
"""Share of the past in the bold curve of the loss: each step shows other crops."""

Points = list[tuple[int, float]]


class LearningPlot(Plot):
    """Two curves over the steps: the IoU above, the loss below.

    The IoU of the base model is a dashed line: above it, the model has become better.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(
            "Course of the fine-tuning",
            "Above: IoU on the annotation that is held out; the dashed line is the base model's, "
            "and where the curve is higher, the new model is better. Below: the loss of each step "
            "(faint) and its running mean (bold).",
            HEIGHT,
            parent,
        )
        self.ious: Points = []
        self.losses: Points = []
        self.smoothed: Points = []
        self.base: float | None = None
        self._steps = 1

    def begin(self) -> None:
        """Forget the last run."""
        self.ious, self.losses, self.smoothed = [], [], []
        self.base, self._steps = None, 1
        self.update()

    def add(self, steps: Iterable[TrainingStep], validations: Iterable[Validation]) -> None:
        """Draw what is new."""
        for step in steps:
            self.losses.append((step.step, step.loss))
            before = self.smoothed[-1][1] if self.smoothed else step.loss
            new = max(1 - SMOOTHING, 1 / len(self.losses))  # the first alone would weigh too much
            mean = before + new * (step.loss - before)
            self.smoothed.append((step.step, mean))
            self._steps = max(step.steps, step.step)
        for validation in validations:
            if validation.step == 0:
                self.base = validation.iou
            self.ious.append((validation.step, validation.iou))
        self.update()

    def panes(self) -> tuple[QRectF, QRectF]:
        """Where the IoU and the loss are drawn."""
        line = self.fontMetrics().height() + 2
        height = (self.height() - 2 * line - GAP) / 2
        width = self.width() - 2 * MARGIN
        upper = QRectF(MARGIN, line, width, height)
        return upper, upper.translated(0, height + GAP + line)

    def place(self, pane: QRectF, point: tuple[int, float], low: float, high: float) -> QPointF:
        """Where a point is in a pane whose values go from `low` to `high`."""
        step, value = point
        share = (value - low) / (high - low) if high > low else 0.5
        x = pane.left() + pane.width() * min(step / self._steps, 1.0)
        return QPointF(x, pane.bottom() - pane.height() * share)

    def iou_range(self) -> tuple[float, float]:
        """What the IoU's pane shows: all of the curve and the base, a tenth at least."""
        values = [iou for _, iou in self.ious]
        middle, half = (max(values) + min(values)) / 2, (max(values) - min(values)) / 2
        half = max(1.2 * half, 0.05)
        low = min(max(middle - half, 0.0), 1.0 - 2 * min(half, 0.5))
        return low, min(low + 2 * half, 1.0)

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Draw both curves."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        upper, lower = self.panes()
        for pane in (upper, lower):
            painter.fillRect(pane, self.text_colour(28))
        self._write(painter, upper, self._iou_words(), IOU_COLOUR)
        self._write(painter, lower, self._loss_words(), LOSS_COLOUR)
        if self.ious:
            self._draw_ious(painter, upper)
        if self.losses:
            values = [loss for _, loss in self.losses]
            high = max(values) or 1.0
            pale = with_alpha(LOSS_COLOUR, 90)
            drawn = self._thinned(self.losses)
            self._draw(painter, [self.place(lower, p, 0.0, high) for p in drawn], QPen(pale, 1))
            drawn = self._thinned(self.smoothed)
            pen = QPen(LOSS_COLOUR, 2)
            self._draw(painter, [self.place(lower, p, 0.0, high) for p in drawn], pen)

    def _draw_ious(self, painter: QPainter, pane: QRectF) -> None:
        low, high = self.iou_range()
        text = self.text_colour()
        if self.base is not None:
            pen = QPen(text, 1, Qt.PenStyle.DashLine)
            ends = [self.place(pane, (at, self.base), low, high) for at in (0, self._steps)]
            self._draw(painter, ends, pen)
        points = [self.place(pane, point, low, high) for point in self.ious]
        self._draw(painter, points, QPen(IOU_COLOUR, 2))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(IOU_COLOUR)
        for point in points:
            painter.drawEllipse(point, 3, 3)

    def _draw(self, painter: QPainter, points: Sequence[QPointF], pen: QPen) -> None:
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(QPolygonF(list(points)))

    def _thinned(self, points: Points) -> Points:
        """No more points than there are pixels."""
        return points[:: max(len(points) // max(self.width(), 1), 1)]

    def _iou_words(self) -> str:
        if not self.ious:
            return "IoU held out"
        best = max(iou for _, iou in self.ious)
        base = "" if self.base is None else f", base {self.base:.3f}"
        return f"IoU held out: best {best:.3f}{base}"

    def _loss_words(self) -> str:
        return f"Loss: {self.smoothed[-1][1]:.3f}" if self.smoothed else "Loss"

    def _write(self, painter: QPainter, pane: QRectF, words: str, colour: QColor) -> None:
        """A line above a pane, with a dot in the colour of its curve."""
        line = QRectF(pane.left(), 0, pane.width(), self.fontMetrics().height())
        line.moveBottom(pane.top() - 1)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawEllipse(QPointF(line.left() + 4, line.center().y()), 4, 4)
        painter.setPen(self.text_colour())
        painter.drawText(line.adjusted(13, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, words)
