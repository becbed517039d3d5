"""Buttons to start, pause and cancel a fine-tuning, and its progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_vrp_sam.inference.runs.reporting import format_elapsed
from napari_vrp_sam.plugin.widgets.controls import PRIMARY_STYLE, keep_place, pack, set_help

if TYPE_CHECKING:
    from napari_vrp_sam.fine_tuning.events import TrainingStep


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
        set_help(
            self.start_button,
            "Train on the annotated frames in a separate process; napari remains usable. The "
            "new model is saved only if it is better on the held-out part of the annotation.",
        )
        set_help(
            self.cancel_button,
            "Cancel the training. It can be resumed or discarded later.",
        )
        set_help(
            self.progress,
            "Training time used, out of the time that you set; loading and measuring do not count.",
        )
        self._progress_row, buttons = QWidget(), QWidget()
        keep_place(self._progress_row)
        pack(QHBoxLayout(buttons), self.pause_button, self.cancel_button, spacing=3)
        pack(QVBoxLayout(self._progress_row), self.progress, buttons, spacing=4)
        pack(QVBoxLayout(self), self.start_button, self._progress_row, spacing=8)
        self.show_running(running=False)

    def show_running(self, *, running: bool) -> None:
        """Enable the buttons that apply during a run, or before one."""
        self.start_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        self._enable_pause(enabled=False)  # until the first step: loading cannot be paused
        self.show_paused(paused=False)
        self._progress_row.setVisible(running)
        if running:
            self.progress.setRange(0, 0)  # busy indicator until the first step

    def show_progress(self, last: TrainingStep) -> None:
        """Show the time used of the budget, or the number of steps if it is given."""
        if self.cancel_button.isEnabled():
            self._enable_pause(enabled=True)
        if last.budget is None:
            self.progress.setFormat("step %v of %m")
            self.progress.setRange(0, last.steps)
            self.progress.setValue(last.step)
            return
        used = min(last.seconds, last.budget)
        self.progress.setFormat(f"{format_elapsed(used)} of {format_elapsed(last.budget)}")
        self.progress.setRange(0, max(1, round(last.budget)))
        self.progress.setValue(round(used))

    def _enable_pause(self, *, enabled: bool) -> None:
        self.pause_button.setEnabled(enabled)
        help_text = "Pause the training, or resume it."
        set_help(
            self.pause_button,
            help_text if enabled else f"{help_text} Available after the first training step.",
        )

    def show_paused(self, *, paused: bool) -> None:
        """Label the pause button according to its next action."""
        self.pause_button.setText("Resume" if paused else "Pause")
