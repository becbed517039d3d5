"""The user's own models: what each is, and how it gets in and out."""

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
from napari_vrp_sam.models.zoo import user_models as store
from napari_vrp_sam.plugin.models.card import card_html
from napari_vrp_sam.plugin.models.changes import user_models
from napari_vrp_sam.plugin.models.files import Command
from napari_vrp_sam.plugin.widgets.controls import set_help
from napari_vrp_sam.plugin.widgets.section import Section

ROWS = 4
PACKAGES = "BioImage Model Zoo (*.zip)"


class UserModelsPanel(Section):
    """A list to choose from, the card of the chosen one, and what can be done with it.

    Signals
    -------
    reported, warned : (message,)
    """

    reported = Signal(str)
    warned = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(
            "My models", "Your own models: their cards, import, export, rename, delete.", parent
        )
        self._commands: set[Command] = set()
        self.list = QListWidget()
        self.card = QLabel()
        self.import_button = QPushButton("Import…")
        self.export_button = QPushButton("Export…")
        self.rename_button = QPushButton("Rename…")
        self.delete_button = QPushButton("Delete…")
        self._lay_out()
        self.list.currentItemChanged.connect(self._show_card)
        self.import_button.clicked.connect(self._ask_what_to_import)
        self.export_button.clicked.connect(self._ask_where_to_export)
        self.rename_button.clicked.connect(self._ask_for_name)
        self.delete_button.clicked.connect(self._ask_whether_to_delete)
        self.toggled.connect(self.refresh)  # other programs may have added some
        user_models.changed.connect(self.refresh)
        self.refresh()

    @property
    def chosen(self) -> str:
        """Name of the chosen model; empty where there is none."""
        item = self.list.currentItem()
        return item.text() if item is not None else ""

    @property
    def busy(self) -> bool:
        """Whether a file is being written or read in the background."""
        return bool(self._commands)

    def choose(self, name: str) -> None:
        """Choose a model of the list."""
        for item in self.list.findItems(name, Qt.MatchFlag.MatchExactly):
            self.list.setCurrentItem(item)

    def refresh(self, _opened: Any = None) -> None:
        """List the models that there are now; keep the choice."""
        chosen = self.chosen
        self._models = {model.name: model for model in store.list_user_models()}
        blocked = self.list.blockSignals(True)  # noqa: FBT003
        self.list.clear()
        self.list.addItems(list(self._models))
        self.list.setCurrentRow(list(self._models).index(chosen) if chosen in self._models else 0)
        self.list.blockSignals(blocked)
        height = self.list.sizeHintForRow(0) if self._models else 0
        self.list.setFixedHeight(min(len(self._models), ROWS) * height + 6)
        self.list.setVisible(bool(self._models))
        self._show_card()

    def import_file(self, path: Path, name: str) -> None:
        """Take a copy of a model file in under a name; a mistake ends in one sentence."""
        imported = f"'{name}' is one of your models now."
        if path.suffix != store.SUFFIX:  # it has to be converted
            self._run("import", str(path), "--name", name, then=imported, chosen=name)
            return
        self._try(lambda: store.add(path, name), imported, chosen=name)

    def export(self, path: Path) -> None:
        """Write the chosen model as .safetensors, or as a package where the path ends with .zip."""
        name = self.chosen
        if path.suffix == ".zip":
            self.reported.emit("Writing the package…")
            self._run("export", name, str(path), then=f"The package of '{name}' is {path}.")
            return
        self._try(lambda: store.export(name, path), f"'{name}' is exported to {path.parent}.")

    def rename(self, new: str) -> None:
        """Give the chosen model another name."""
        old = self.chosen

        def do() -> None:
            store.rename(old, new)
            user_models.renamed.emit(old, new)

        self._try(do, f"'{old}' is now '{new}'.", chosen=new)

    def delete(self) -> None:
        """Remove the chosen model for good."""
        name = self.chosen
        self._try(lambda: store.delete(name), f"'{name}' is deleted.")

    def abandon(self) -> None:
        """The dock closes: write nothing more."""
        for command in self._commands:
            command.stop()
        self._commands.clear()

    def _try(self, do: Callable[[], Any], sentence: str, chosen: str = "") -> None:
        try:
            do()
        except InputError as mistake:
            self.warned.emit(str(mistake))
            return
        user_models.changed.emit()
        self.choose(chosen)
        self.reported.emit(sentence)

    def _run(self, *arguments: str, then: str, chosen: str = "") -> None:
        command = Command(self, "models", *arguments)
        self._commands.add(command)

        def end(mistake: str) -> None:
            self._commands.discard(command)
            if mistake:
                self.warned.emit(mistake)
            else:
                self._try(lambda: None, then, chosen)

        command.ended.connect(end)

    def _show_card(self, _now: Any = None, _before: Any = None) -> None:
        model = self._models.get(self.chosen)
        text = "None yet: a fine-tuned model gets here, or one that you import."
        self.card.setText(card_html(model) if model else text)
        for button in (self.rename_button, self.delete_button):
            button.setEnabled(model is not None)
        self.export_button.setEnabled(model is not None and not model.problem)

    def _ask_what_to_import(self, _checked: Any = None) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Import a model", "", "Models (*.safetensors *.pth *.pt)"
        )
        if path:
            name, agreed = QInputDialog.getText(
                self, "Import a model", "Name of the model:", text=Path(path).stem
            )
            if agreed:
                self.import_file(Path(path), name.strip())

    def _ask_where_to_export(self, _checked: Any = None) -> None:
        path, kind = QFileDialog.getSaveFileName(
            self, "Export the model", self.chosen, f"Models (*.safetensors);;{PACKAGES}"
        )
        if path:
            target = Path(path)
            suffix = ".zip" if kind == PACKAGES else store.SUFFIX
            known = target.suffix in {".zip", store.SUFFIX}
            self.export(target if known else target.with_name(target.name + suffix))

    def _ask_for_name(self, _checked: Any = None) -> None:
        name, agreed = QInputDialog.getText(
            self, "Rename the model", f"New name of '{self.chosen}':", text=self.chosen
        )
        if agreed and name.strip() != self.chosen:
            self.rename(name.strip())

    def _ask_whether_to_delete(self, _checked: Any = None) -> None:
        question = f"Delete the model '{self.chosen}' for good?"
        if QMessageBox.question(self, "Delete the model", question) == QMessageBox.Yes:
            self.delete()

    def _lay_out(self) -> None:
        set_help(self.list, "Choose a model to see its card.")
        self.list.setAccessibleName("My models")
        self.list.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.card.setWordWrap(True)
        self.card.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        set_help(self.import_button, "Add a model that somebody sent you: .safetensors or .pth.")
        set_help(
            self.export_button,
            "Write the chosen model as .safetensors for another machine, or as a package for the "
            "BioImage Model Zoo.",
        )
        set_help(self.rename_button, "Give the chosen model another name.")
        set_help(self.delete_button, "Delete the chosen model for good; asks first.")
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(self.list)
        layout.addWidget(self.card)
        buttons = QGridLayout()
        buttons.setSpacing(3)
        for place, button in enumerate(
            (self.import_button, self.export_button, self.rename_button, self.delete_button)
        ):
            buttons.addWidget(button, place // 2, place % 2)
        layout.addLayout(buttons)
        self.addWidget(content)
