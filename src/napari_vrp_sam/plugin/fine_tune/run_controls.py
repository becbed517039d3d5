"""The button that starts a fine-tuning, and those that hold it."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_vrp_sam.plugin.widgets.controls import PRIMARY_STYLE, set_help


class FineTuneControls(QWidget):
    """*Fine-tune*, and its progress, *Pause* and *Cancel* below it."""

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
            "Learn from the annotated frames, in a process of its own: go on working meanwhile. "
            "The result is a new model, and only if it is better on what was held out.",
        )
        set_help(self.pause_button, "Let the processor go for a while; press again to go on.")
        set_help(
            self.cancel_button,
            "Stop. What was learned until then is kept beside the models, to be resumed or "
            "discarded.",
        )
        self.progress.setFormat("step %v of %m")
        set_help(self.progress, "Steps that are done; how many there will be depends on the time.")
        self._row = QWidget()
        row = QHBoxLayout(self._row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.progress, 1)
        row.addWidget(self.pause_button)
        row.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self.start_button)
        layout.addWidget(self._row)
        self.show_running(running=False)

    def show_running(self, *, running: bool) -> None:
        """Offer to start, or to hold."""
        self.start_button.setEnabled(not running)
        for button in (self.pause_button, self.cancel_button):
            button.setEnabled(running)
        self.show_paused(paused=False)
        self._row.setVisible(running)
        if running:
            self.progress.setRange(0, 0)  # busy: it is not known yet how many steps there are

    def show_progress(self, step: int, steps: int) -> None:
        """Fill the bar."""
        self.progress.setRange(0, steps)
        self.progress.setValue(step)

    def show_paused(self, *, paused: bool) -> None:
        """Offer to go on, or to pause."""
        self.pause_button.setText("Go on" if paused else "Pause")
