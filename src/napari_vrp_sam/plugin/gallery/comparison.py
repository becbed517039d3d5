"""Comparison of models in the window: its run, and its table and picture."""

from __future__ import annotations

import io

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QLabel,
    QPushButton,
    QScrollArea,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.comparison.job import Compared
from napari_vrp_sam.inference.comparison.result import Comparison
from napari_vrp_sam.inference.runs.engine import Run
from napari_vrp_sam.inference.runs.events import Cancelled, Event, Failed, Progress
from napari_vrp_sam.plugin.widgets.background.watched_run import WatchedRun
from napari_vrp_sam.plugin.widgets.controls import set_help

HEADINGS = ("Model", "IoU", "s per frame", "Memory", "Note")


class ComparisonRun(WatchedRun):
    """Emit the events of a `ComparisonJob` as signals.

    Signals
    -------
    progressed : (message,)
    compared : (comparison,)
    ended : see `WatchedRun`
    """

    progressed = Signal(str)
    compared = Signal(object)
    failure_message = "The comparison could not be shown."

    def __init__(self, run: Run, total: int, parent: QWidget) -> None:
        super().__init__(run, total, "Compare models", parent)

    def _handle_events(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Progress(_, _, message):
                    self.progressed.emit(f"{message}…")
                    self._advance(event)
                case Compared(comparison):
                    self._stop()
                    self.compared.emit(comparison)
                    self._end("done", "")
                case Cancelled():
                    self._end("cancelled", "The comparison was cancelled.")
                case Failed():
                    self._fail(event)
            if self._ended:
                return


class ComparisonDialog(QDialog):
    """Table and picture of a comparison.

    Parameters
    ----------
    comparison : Comparison
    parent : QWidget, optional
    """

    def __init__(self, comparison: Comparison, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Comparison of models")
        self._comparison = comparison
        self.note = QLabel(
            f"IoU on {comparison.held_out}."
            if comparison.held_out
            else "The IoU cannot be measured: this needs complete masks."
        )
        self.note.setWordWrap(True)
        self.table = self._make_table()
        self.picture = QLabel()
        self.picture.setPixmap(_pixmap(comparison))
        scroll = QScrollArea()
        scroll.setWidget(self.picture)
        self.save_button = QPushButton("Save…")
        set_help(self.save_button, "Write the table (CSV) and the picture (PNG) to a folder.")
        self.save_button.clicked.connect(self._choose_folder)
        layout = QVBoxLayout(self)
        for widget in (self.note, self.table, scroll, self.save_button):
            layout.addWidget(widget)
        self.resize(760, 560)

    def _make_table(self) -> QTableWidget:
        results = self._comparison.results
        table = QTableWidget(len(results), len(HEADINGS))
        table.setHorizontalHeaderLabels(list(HEADINGS))
        table.verticalHeader().hide()
        table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        for row, result in enumerate(results):
            seconds, memory = result.seconds_per_frame, result.memory_bytes
            texts = (
                result.model,
                "" if result.mean_iou is None else f"{result.mean_iou:.2f}",
                "" if seconds is None else f"{seconds:.2g}",
                "" if memory is None else f"{memory / 1e9:.1f} GB",
                result.problem,
            )
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                table.setItem(row, column, item)
        for column in range(len(HEADINGS) - 1):
            table.resizeColumnToContents(column)
        table.horizontalHeader().setStretchLastSection(True)
        table.setMinimumHeight(min(8, len(results) + 1) * 26 + 8)
        return table

    def _choose_folder(self, _checked: bool = False) -> None:  # noqa: FBT001, FBT002 # Qt's signal
        folder = QFileDialog.getExistingDirectory(self, "Folder for the comparison")
        if folder:
            self.save(folder)

    def save(self, folder: str) -> None:
        """Write the table and the picture to a folder, and show their names or the problem."""
        try:
            table, picture = self._comparison.write(folder)
        except InputError as error:
            self.note.setText(str(error))
            return
        self.note.setText(f"Saved {table.name} and {picture.name} to {table.parent}.")


def _pixmap(comparison: Comparison) -> QPixmap:
    stream = io.BytesIO()
    comparison.side_by_side().save(stream, "PNG")
    pixmap = QPixmap()
    pixmap.loadFromData(stream.getvalue())
    width = min(pixmap.width(), 1100)
    return pixmap.scaledToWidth(width, Qt.TransformationMode.SmoothTransformation)
