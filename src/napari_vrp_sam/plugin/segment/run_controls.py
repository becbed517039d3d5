"""The button that does the work, what goes with it, and how far it is."""

from __future__ import annotations

from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_vrp_sam.plugin.widgets.controls import PRIMARY_STYLE, set_help

RUN_KEYS = QKeySequence("Ctrl+Shift+Return")


class RunControls(QWidget):
    """*Segment stack*, with its options above and its progress below.

    Parameters
    ----------
    preview_box : QCheckBox
        Switches the preview.
    """

    def __init__(self, preview_box: QCheckBox, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.probability_box = QCheckBox("Probabilities")
        self.segment_button = QPushButton("Segment stack")
        self.cancel_button = QPushButton("Cancel")
        self.progress = QProgressBar()
        self._explain()
        options, self._progress_row = QWidget(), QWidget()
        for row, widgets in (
            (options, (preview_box, self.probability_box)),
            (self._progress_row, (self.progress, self.cancel_button)),
        ):
            inside = QHBoxLayout(row)
            inside.setContentsMargins(0, 0, 0, 0)
            for widget in widgets:
                inside.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        for widget in (options, self.segment_button, self._progress_row):
            layout.addWidget(widget)

    def show_running(self, *, running: bool) -> None:
        """Offer to start, or to cancel."""
        self.segment_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        self._progress_row.setVisible(running)

    def show_progress(self, done: int, total: int) -> None:
        """Fill the bar."""
        self.progress.setRange(0, total)
        self.progress.setValue(done)

    def _explain(self) -> None:
        self.segment_button.setMinimumHeight(38)
        self.segment_button.setStyleSheet(PRIMARY_STYLE)
        self.segment_button.setShortcut(RUN_KEYS)
        set_help(
            self.segment_button,
            "Segment every frame. The result is a new Labels layer, filled from the frame in view "
            "and the annotated ones outwards; earlier results are kept, hidden. Keys: "
            + RUN_KEYS.toString(QKeySequence.SequenceFormat.NativeText),
        )
        set_help(
            self.probability_box,
            "Keep the probability of each class in every pixel too, in percent: an Image layer for "
            "each class, hidden at first, as large as the stack.",
        )
        set_help(self.cancel_button, "Stop the run; the frames that are done are kept.")
        self.progress.setFormat("%v of %m frames")
        set_help(self.progress, "Frames that are done.")
