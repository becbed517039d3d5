"""The button that starts a segmentation, with its options and its progress."""

from __future__ import annotations

from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_vrp_sam.plugin.widgets.controls import PRIMARY_STYLE, pack, set_help

RUN_KEYS = QKeySequence("Ctrl+Shift+Return")


class RunControls(QWidget):
    """*Segment stack* button, with options above and progress below.

    Parameters
    ----------
    preview_box : QCheckBox
        Check box of the live preview.
    """

    def __init__(self, preview_box: QCheckBox) -> None:
        super().__init__()
        self.probability_box = QCheckBox("Probabilities")
        self.segment_button = QPushButton("Segment stack")
        self.cancel_button = QPushButton("Cancel")
        self.progress = QProgressBar()
        self.segment_button.setMinimumHeight(38)
        self.segment_button.setStyleSheet(PRIMARY_STYLE)
        self.segment_button.setShortcut(RUN_KEYS)
        self.progress.setFormat("%v of %m frames")
        self._set_help()
        options, self._progress_row = QWidget(), QWidget()
        pack(QHBoxLayout(options), preview_box, self.probability_box)
        pack(QHBoxLayout(self._progress_row), self.progress, self.cancel_button)
        pack(QVBoxLayout(self), options, self.segment_button, self._progress_row, spacing=8)

    def show_running(self, *, running: bool) -> None:
        """Enable the button to cancel during a run, and the button to start otherwise."""
        self.segment_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        self._progress_row.setVisible(running)

    def show_progress(self, done: int, total: int) -> None:
        """Show the number of segmented frames."""
        self.progress.setRange(0, total)
        self.progress.setValue(done)

    def _set_help(self) -> None:
        set_help(
            self.segment_button,
            "Segment every frame, from the frame in view and the annotated frames outwards. The "
            "result is a new Labels layer; earlier results are kept but hidden. Keys: "
            + RUN_KEYS.toString(QKeySequence.SequenceFormat.NativeText),
        )
        set_help(
            self.probability_box,
            "Also add the probability of each class in percent: one Image layer per class, as "
            "large as the stack and hidden at first.",
        )
        set_help(self.cancel_button, "Cancel the run; finished frames are kept.")
        set_help(self.progress, "Number of segmented frames.")
