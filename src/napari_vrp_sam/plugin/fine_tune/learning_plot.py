"""Learning curves of a fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF

from napari_vrp_sam.plugin.widgets.plot import AMBER, BLUE, Plot, with_alpha

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_vrp_sam.fine_tuning.events import TrainingStep, Validation

HEIGHT, GAP, MARGIN = 150, 8, 4
IOU_COLOUR, LOSS_COLOUR = BLUE, AMBER
SMOOTHING = 0.9
"""Weight of earlier steps in the moving average of the loss."""

Points = list[tuple[int, float]]


class LearningPlot(Plot):
    """IoU on held-out parts (top) and training loss (bottom) over the training steps.

    Attributes
    ----------
    ious, losses, smoothed : list of tuple of int and float
        Step and value of each validation, each step, and the moving average of the loss.
    base : float or None
        IoU of the base model, drawn as a dashed line.
    """

    def __init__(self) -> None:
        super().__init__(
            "Learning curves",
            "Top: IoU on the held-out part of the annotation; the new model is better than the "
            "base model where the curve is above the dashed line. Bottom: loss of each training "
            "step (faint) and its moving average (bold).",
            HEIGHT,
        )
        self.reset()

    def reset(self) -> None:
        """Remove the curves."""
        self.ious: Points = []
        self.losses: Points = []
        self.smoothed: Points = []
        self.base: float | None = None
        self._steps = 1
        self.update()

    def add(self, steps: Iterable[TrainingStep], validations: Iterable[Validation]) -> None:
        """Add points to the curves."""
        for step in steps:
            self.losses.append((step.step, step.loss))
            before = self.smoothed[-1][1] if self.smoothed else step.loss
            weight = max(1 - SMOOTHING, 1 / len(self.losses))  # a plain mean of the first steps
            self.smoothed.append((step.step, before + weight * (step.loss - before)))
            self._steps = max(step.steps, step.step)
        for validation in validations:
            if validation.step == 0:
                self.base = validation.iou
            self.ious.append((validation.step, validation.iou))
        self.update()

    def panes(self) -> tuple[QRectF, QRectF]:
        """Return the areas of the IoU and of the loss."""
        line = self.fontMetrics().height() + 2
        height = (self.height() - 2 * line - GAP) / 2
        upper = QRectF(MARGIN, line, self.width() - 2 * MARGIN, height)
        return upper, upper.translated(0, height + GAP + line)

    def iou_range(self) -> tuple[float, float]:
        """Return the range of the IoU axis: all values, but at least 0.1."""
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
        loss = f"Loss: {self.smoothed[-1][1]:.3f}" if self.smoothed else "Loss"
        self._draw_title(painter, upper, self._iou_title(), IOU_COLOUR)
        self._draw_title(painter, lower, loss, LOSS_COLOUR)
        if self.ious:
            limits = self.iou_range()
            if self.base is not None:
                ends = [(0, self.base), (self._steps, self.base)]
                dashed = QPen(self.text_colour(), 1, Qt.PenStyle.DashLine)
                self._draw_curve(painter, upper, ends, limits, dashed)
            points = self._draw_curve(painter, upper, self.ious, limits, QPen(IOU_COLOUR, 2))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(IOU_COLOUR)
            for point in points:
                painter.drawEllipse(point, 3, 3)
        if self.losses:
            limits = (0.0, max(loss for _, loss in self.losses) or 1.0)
            thin = QPen(with_alpha(LOSS_COLOUR, 90), 1)
            self._draw_curve(painter, lower, self.losses, limits, thin)
            self._draw_curve(painter, lower, self.smoothed, limits, QPen(LOSS_COLOUR, 2))

    def _draw_curve(
        self,
        painter: QPainter,
        pane: QRectF,
        values: Sequence[tuple[int, float]],
        limits: tuple[float, float],
        pen: QPen,
    ) -> list[QPointF]:
        """Draw a curve with no more points than pixels, and return the points."""
        low, high = limits
        points = []
        for step, value in values[:: max(len(values) // max(self.width(), 1), 1)]:
            share = (value - low) / (high - low) if high > low else 0.5
            x = pane.left() + pane.width() * min(step / self._steps, 1.0)
            points.append(QPointF(x, pane.bottom() - pane.height() * share))
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(QPolygonF(points))
        return points

    def _draw_title(self, painter: QPainter, pane: QRectF, title: str, colour: QColor) -> None:
        """Draw a title above a pane, after a dot in the colour of the curve."""
        line = QRectF(pane.left(), 0, pane.width(), self.fontMetrics().height())
        line.moveBottom(pane.top() - 1)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawEllipse(QPointF(line.left() + 4, line.center().y()), 4, 4)
        painter.setPen(self.text_colour())
        painter.drawText(line.adjusted(13, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, title)

    def _iou_title(self) -> str:
        if not self.ious:
            return "Held-out IoU"
        best = max(iou for _, iou in self.ious)
        base = "" if self.base is None else f", base {self.base:.3f}"
        return f"Held-out IoU: best {best:.3f}{base}"
