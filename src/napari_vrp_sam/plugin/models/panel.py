"""The "User models" section: list of models, model card, import, export, rename, delete."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QInputDialog,
    QLabel,
    QListWidget,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.zoo import user_models
from napari_vrp_sam.plugin.models.card import card_html
from napari_vrp_sam.plugin.models.changes import user_model_signals
from napari_vrp_sam.plugin.models.command import CommandProcess
from napari_vrp_sam.plugin.widgets.controls import pack, set_help
from napari_vrp_sam.plugin.widgets.section import Section

TITLE = "User models"
PAGE = "models/user-models.md"
VISIBLE_ROWS = 4
PACKAGES = "BioImage Model Zoo (*.zip)"


class UserModelsPanel(Section):
    """List of the user models, the card of the selected model, and buttons to manage it.

    Signals
    -------
    reported, warned : (message,)
    """

    reported = Signal(str)
    warned = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        tip = "View, import, export, rename and delete user models."
        super().__init__(TITLE, tip, PAGE, parent)
        self._processes: set[CommandProcess] = set()
        self.list = QListWidget()
        self.card = QLabel()
        self.import_button = QPushButton("Import…")
        self.export_button = QPushButton("Export…")
        self.rename_button = QPushButton("Rename…")
        self.delete_button = QPushButton("Delete…")
        self._lay_out()
        self.list.currentItemChanged.connect(self._show_card)
        self.import_button.clicked.connect(self._open_import_dialog)
        self.export_button.clicked.connect(self._open_export_dialog)
        self.rename_button.clicked.connect(self._open_rename_dialog)
        self.delete_button.clicked.connect(self._confirm_delete)
        self.toggled.connect(self.refresh)  # other processes may have added models
        user_model_signals.changed.connect(self.refresh)
        self.refresh()

    @property
    def selected(self) -> str:
        """Name of the selected model; empty if there is none."""
        item = self.list.currentItem()
        return item.text() if item is not None else ""

    @property
    def busy(self) -> bool:
        """True while a background process reads or writes a file."""
        return bool(self._processes)

    def select(self, name: str) -> None:
        """Select a model in the list."""
        for item in self.list.findItems(name, Qt.MatchFlag.MatchExactly):
            self.list.setCurrentItem(item)

    def refresh(self, _expanded: Any = None) -> None:
        """List the current user models; keep the selection."""
        selected = self.selected
        self._models = {model.name: model for model in user_models.list_user_models()}
        names = list(self._models)
        blocked = self.list.blockSignals(True)  # noqa: FBT003
        self.list.clear()
        self.list.addItems(names)
        self.list.setCurrentRow(names.index(selected) if selected in names else 0)
        self.list.blockSignals(blocked)
        row_height = self.list.sizeHintForRow(0) if names else 0
        self.list.setFixedHeight(min(len(names), VISIBLE_ROWS) * row_height + 6)
        self.list.setVisible(bool(names))
        self._show_card()

    def import_file(self, path: Path, name: str) -> None:
        """Copy a model file into the user models under a name; emit `warned` on errors."""
        message = f"Imported the model '{name}'."
        if path.suffix != user_models.SUFFIX:  # a PyTorch file, to be converted
            self._run("import", str(path), "--name", name, message=message, select=name)
            return
        self._try(lambda: user_models.add(path, name), message, select=name)

    def export(self, path: Path) -> None:
        """Write the selected model as .safetensors, or as a package if the suffix is .zip."""
        name = self.selected
        message = f"Exported '{name}' to {path}."
        if path.suffix == ".zip":
            self.reported.emit("Writing the package…")
            self._run("export", name, str(path), message=message)
            return
        self._try(lambda: user_models.export(name, path), message)

    def rename(self, new: str) -> None:
        """Rename the selected model."""
        old = self.selected

        def do() -> None:
            user_models.rename(old, new)
            user_model_signals.renamed.emit(old, new)

        self._try(do, f"Renamed '{old}' to '{new}'.", select=new)

    def delete(self) -> None:
        """Delete the file of the selected model."""
        name = self.selected
        self._try(lambda: user_models.delete(name), f"Deleted '{name}'.")

    def abandon(self) -> None:
        """Kill all background processes."""
        for process in self._processes:
            process.kill()
        self._processes.clear()

    def _try(self, do: Callable[[], Any], message: str, select: str = "") -> None:
        try:
            do()
        except InputError as error:
            self.warned.emit(str(error))
            return
        user_model_signals.changed.emit()
        self.select(select)
        self.reported.emit(message)

    def _run(self, *arguments: str, message: str, select: str = "") -> None:
        process = CommandProcess(self, "models", *arguments)
        self._processes.add(process)

        def end(error: str) -> None:
            self._processes.discard(process)
            if error:
                self.warned.emit(error)
            else:
                self._try(lambda: None, message, select)

        process.ended.connect(end)

    def _show_card(self, _now: Any = None, _before: Any = None) -> None:
        model = self._models.get(self.selected)
        hint = "No user models yet: fine-tune a model, or import one."
        self.card.setText(card_html(model) if model else hint)
        for button in (self.rename_button, self.delete_button):
            button.setEnabled(model is not None)
        self.export_button.setEnabled(model is not None and not model.problem)

    def _open_import_dialog(self, _checked: Any = None) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Import model", "", "Models (*.safetensors *.pth *.pt)"
        )
        if path:
            name, accepted = QInputDialog.getText(
                self, "Import model", "Name of the model:", text=Path(path).stem
            )
            if accepted:
                self.import_file(Path(path), name.strip())

    def _open_export_dialog(self, _checked: Any = None) -> None:
        chosen, kind = QFileDialog.getSaveFileName(
            self, "Export model", self.selected, f"Models (*.safetensors);;{PACKAGES}"
        )
        if chosen:
            path = Path(chosen)
            if path.suffix not in {".zip", user_models.SUFFIX}:
                suffix = ".zip" if kind == PACKAGES else user_models.SUFFIX
                path = path.with_name(path.name + suffix)
            self.export(path)

    def _open_rename_dialog(self, _checked: Any = None) -> None:
        name, accepted = QInputDialog.getText(
            self, "Rename model", f"New name of '{self.selected}':", text=self.selected
        )
        if accepted and name.strip() != self.selected:
            self.rename(name.strip())

    def _confirm_delete(self, _checked: Any = None) -> None:
        question = f"Permanently delete the model '{self.selected}'?"
        if QMessageBox.question(self, "Delete model", question) == QMessageBox.Yes:
            self.delete()

    def _lay_out(self) -> None:
        set_help(self.list, "Select a model to see its card.")
        self.list.setAccessibleName(TITLE)
        self.list.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.card.setWordWrap(True)
        self.card.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        content = QWidget()
        layout = QVBoxLayout(content)
        pack(layout, self.list, self.card, spacing=5)
        grid = QGridLayout()
        grid.setSpacing(3)
        buttons = {
            self.import_button: "Add a model file (.safetensors, .pth or .pt) to the user models.",
            self.export_button: "Write the selected model as .safetensors for another computer, "
            "or as a package for the BioImage Model Zoo.",
            self.rename_button: "Rename the selected model.",
            self.delete_button: "Permanently delete the selected model, after confirmation.",
        }
        for place, (button, text) in enumerate(buttons.items()):
            set_help(button, text)
            grid.addWidget(button, place // 2, place % 2)
        layout.addLayout(grid)
        self.addWidget(content)
