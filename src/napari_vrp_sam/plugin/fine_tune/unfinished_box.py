"""List of interrupted fine-tunings, with buttons to resume or discard them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.interrupted.saved_job import lock_run
from napari_vrp_sam.fine_tuning.job import FineTuneJob, interrupted_runs
from napari_vrp_sam.models.zoo.user_models import models_folder
from napari_vrp_sam.plugin.widgets.controls import MessageLabel, pack, set_help

if TYPE_CHECKING:
    from pathlib import Path


class UnfinishedBox(QWidget):
    """One row per interrupted run; hidden without any, and during a run.

    Attributes
    ----------
    rows : dict of Path to tuple of QPushButton
        Buttons *Resume* and *Discard*, by the output file of the run.

    Signals
    -------
    resumed : (output,)
    reported : (message,)
    discarded : (output,)
        After the checkpoint of a run was deleted.
    """

    resumed = Signal(object)
    reported = Signal(str)
    discarded = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._locked = False
        self.rows: dict[Path, tuple[QPushButton, QPushButton]] = {}
        self._column = QVBoxLayout(self)
        pack(self._column, spacing=4)
        self.refresh()

    def refresh(self) -> None:
        """Update the rows from the folder of user models."""
        outputs = [] if self._locked else interrupted_runs(models_folder())
        if outputs != list(self.rows):
            while self._column.count():
                widget = self._column.takeAt(0).widget()
                widget.hide()
                widget.deleteLater()
            self.rows = {output: self._add(output) for output in outputs}
        self.setVisible(bool(outputs))

    def lock(self, *, locked: bool) -> None:
        """Hide the box during a run, whose own checkpoints would be listed."""
        self._locked = locked
        self.refresh()

    def _add(self, output: Path) -> tuple[QPushButton, QPushButton]:
        name = output.stem
        label = MessageLabel()
        label.show_message(f"The fine-tuning of '{name}' was interrupted.")
        resume, discard = QPushButton("Resume"), QPushButton("Discard")
        set_help(
            resume,
            f"Resume the fine-tuning of '{name}' from its last checkpoint. First choose its image; "
            "the annotation is saved with the checkpoint.",
        )
        set_help(discard, f"Delete the checkpoint of '{name}'.")
        for button in (resume, discard):
            button.setAccessibleName(f"{button.text()} {name}")
        resume.clicked.connect(lambda: self.resumed.emit(output))
        discard.clicked.connect(lambda: self._discard(output))
        row, buttons = QWidget(), QWidget()
        pack(QHBoxLayout(buttons), resume, discard, spacing=3)
        pack(QVBoxLayout(row), label, buttons, spacing=3)
        self._column.addWidget(row)
        return resume, discard

    def _discard(self, output: Path) -> None:
        folder = FineTuneJob(None, references=(), output=output).folder
        try:
            with lock_run(folder):
                shutil.rmtree(folder, ignore_errors=True)
        except InputError as error:
            self.reported.emit(str(error))
            return
        self.refresh()
        self.discarded.emit(output)
        self.reported.emit(f"The fine-tuning of '{output.stem}' was discarded.")
