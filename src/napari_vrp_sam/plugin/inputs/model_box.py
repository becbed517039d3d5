"""Combo box of models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_vrp_sam.models.zoo.registry import list_models
from napari_vrp_sam.plugin.models.changes import user_model_signals
from napari_vrp_sam.plugin.widgets.controls import NarrowComboBox

if TYPE_CHECKING:
    from napari_vrp_sam.models.weights.model_spec import ModelSpec


class ModelBox(NarrowComboBox):
    """Combo box of the built-in models, user models and weights files."""

    FROM_FILE = "from a file…"

    def __init__(self) -> None:
        super().__init__()
        self._files: list[str] = []
        self._last = 0
        self.refresh()
        self.activated.connect(self._activated)
        user_model_signals.renamed.connect(self._rename)
        user_model_signals.changed.connect(self.refresh)

    @property
    def model(self) -> str:
        """Name or path of the chosen model."""
        return str(self.currentData())

    def add_file(self, path: Path) -> None:
        """Add a weights file to the list, and choose it."""
        if self.findData(str(path)) < 0:
            self._files.append(str(path))
            self.insertItem(self.count() - 1, path.name, str(path))
        self._last = self.findData(str(path))
        self.setCurrentIndex(self._last)

    def choose(self, model: str) -> None:
        """Choose a model by its name or path."""
        self.refresh()
        row = self.findData(model)
        if row < 0:
            self.add_file(Path(model))
        else:
            self._last = row
            self.setCurrentIndex(row)

    def refresh(self) -> None:
        """Update the list; keep the choice, or choose the first model if it is gone."""
        specs = list_models()
        if [self.itemData(row) for row in range(self.count())] == [
            *(spec.name for spec in specs),
            *self._files,
            None,
        ]:
            return
        chosen = self.model
        blocked = self.blockSignals(True)  # noqa: FBT003
        self._list(specs)
        self._last = max(self.findData(chosen), 0)
        self.setCurrentIndex(self._last)
        self.blockSignals(blocked)
        if self.model != chosen:
            self.currentIndexChanged.emit(self._last)

    def showPopup(self) -> None:  # noqa: N802
        """Update the list before it opens, as other processes may have added models."""
        self.refresh()
        super().showPopup()

    def _list(self, specs: tuple[ModelSpec, ...]) -> None:
        self.clear()
        for row, spec in enumerate(specs):
            self.addItem(spec.name, spec.name)
            self.setItemData(row, spec.description, Qt.ItemDataRole.ToolTipRole)
        for file in self._files:
            self.addItem(Path(file).name, file)
        self.addItem(self.FROM_FILE)

    def _rename(self, old: str, new: str) -> None:
        row = self.findData(old)
        if row >= 0:
            self.setItemText(row, new)
            self.setItemData(row, new)

    def _activated(self, index: int) -> None:
        if self.itemData(index) is not None:
            self._last = index
            return
        self.setCurrentIndex(self._last)
        path, _ = QFileDialog.getOpenFileName(
            self, "Model file", "", "Models (*.safetensors *.pth *.pt);;All files (*)"
        )
        if path:
            self.add_file(Path(path))
