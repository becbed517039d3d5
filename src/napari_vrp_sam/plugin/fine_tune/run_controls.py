"""Buttons to start, pause and cancel a fine-tuning, and its progress bar."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_vrp_sam.plugin.widgets.controls import PRIMARY_STYLE, pack, set_help


class FineTuneControls(QWidget):
    """*Fine-tune* button; below it, during a run, the progress bar, *Pause* and *Cancel*."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.start_button = QPushButton("Fine-tune")
        self.pause_button = QPushButton("Pause")
        self.cancel_button = QPushButton("Cancel")
        self.progress = QProgressBar()
        self.start_button.setMinimumHeight(38)
        self.start_button.setStyleSheet(PRIMARY_STYLE)
        self.progress.setFormat("step %v of %m")
        set_help(
            self.start_button,
            "Train on the annotated frames in a separate process; napari remains usable. The "
            "new model is saved only if it is better on the held-out part of the annotation.",
        )
        set_help(self.pause_button, "Pause the training, or resume it.")
        set_help(
            self.cancel_button,
            "Cancel the training. It can be resumed or discarded later.",
        )
        set_help(self.progress, "Training steps; their number is estimated from the time.")
        self._progress_row = QWidget()
        pack(QHBoxLayout(self._progress_row), self.progress, self.pause_button, self.cancel_button)
        pack(QVBoxLayout(self), self.start_button, self._progress_row, spacing=8)
        self.show_running(running=False)

    def show_running(self, *, running: bool) -> None:
        """Enable the buttons that apply during a run, or before one."""
        self.start_button.setEnabled(not running)
        for button in (self.pause_button, self.cancel_button):
            button.setEnabled(running)
        self.show_paused(paused=False)
        self._progress_row.setVisible(running)
        if running:
            self.progress.setRange(0, 0)  # busy indicator: the number of steps is not known yet

    def show_progress(self, step: int, steps: int) -> None:
        """Show the number of steps done."""
        self.progress.setRange(0, steps)
        self.progress.setValue(step)

    def show_paused(self, *, paused: bool) -> None:
        """Label the pause button according to its next action."""
        self.pause_button.setText("Resume" if paused else "Pause")
