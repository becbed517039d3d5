"""Fine-tunings that were broken off: resume them, or discard them."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.interrupted.run_lock import lock_run
from napari_vrp_sam.fine_tuning.job import FineTuneJob, interrupted_runs
from napari_vrp_sam.models.zoo.user_models import models_folder
from napari_vrp_sam.plugin.widgets.controls import MessageLabel, set_help

if TYPE_CHECKING:
    from pathlib import Path


class UnfinishedBox(QWidget):
    """A row for each of them; hidden where there is none, and during a run.

    Signals
    -------
    resumed : (output,)
        The file that the run is to write.
    reported : (message,)
    """

    resumed = Signal(object)
    reported = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._locked = False
        self.rows: dict[Path, tuple[QPushButton, QPushButton]] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)
        self.refresh()

    def refresh(self) -> None:
        """Look again what there is."""
        found = [] if self._locked else interrupted_runs(models_folder())
        if found != list(self.rows):
            while self._column.count():
                widget = self._column.takeAt(0).widget()
                widget.hide()
                widget.deleteLater()
            self.rows = {output: self._add(output) for output in found}
        self.setVisible(bool(found))

    def lock(self, *, locked: bool) -> None:
        """A run begins, whose own checkpoints are no offer; or it has ended."""
        self._locked = locked
        self.refresh()

    def _add(self, output: Path) -> tuple[QPushButton, QPushButton]:
        label = MessageLabel()
        label.show_message(f"The fine-tuning of '{output.stem}' was broken off.")
        resume, discard = QPushButton("Resume"), QPushButton("Discard")
        set_help(
            resume,
            f"Go on with '{output.stem}' where it was last kept. Choose its image first; the "
            "annotation was kept with it.",
        )
        set_help(discard, f"Forget what '{output.stem}' has learned until then.")
        for button in (resume, discard):
            button.setAccessibleName(f"{button.text()} {output.stem}")
        resume.clicked.connect(partial(self._resume, output))
        discard.clicked.connect(partial(self._discard, output))
        row = QWidget()
        layout = QVBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(label)
        buttons = QHBoxLayout()
        buttons.addWidget(resume, 1)
        buttons.addWidget(discard, 1)
        layout.addLayout(buttons)
        self._column.addWidget(row)
        return resume, discard

    def _resume(self, output: Path, _checked: bool = False) -> None:  # noqa: FBT001, FBT002 # Qt's
        self.resumed.emit(output)

    def _discard(self, output: Path, _checked: bool = False) -> None:  # noqa: FBT001, FBT002 # Qt's
        folder = FineTuneJob(None, references=(), output=output).folder
        try:
            with lock_run(folder):
                shutil.rmtree(folder, ignore_errors=True)
        except InputError as mistake:
            self.reported.emit(str(mistake))
            return
        self.refresh()
        self.reported.emit(f"The fine-tuning of '{output.stem}' is discarded.")
