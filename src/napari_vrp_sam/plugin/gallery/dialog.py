"""Dialog with all models: purpose, size, licence, speed; download, removal and comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import (
    QDialog,
    QGridLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.engine import Run
from napari_vrp_sam.models.weights.downloads import OFFLINE_VARIABLE, offline
from napari_vrp_sam.models.zoo.model_entry import ModelEntry, remove_downloads
from napari_vrp_sam.models.zoo.registry import list_models, model_spec
from napari_vrp_sam.plugin.gallery.comparison import ComparisonDialog, ComparisonRun
from napari_vrp_sam.plugin.gallery.download import Download
from napari_vrp_sam.plugin.models.changes import user_model_signals
from napari_vrp_sam.plugin.widgets.controls import SEVERITY_COLOURS, MessageLabel, set_help

Compare = Callable[[Sequence[str]], Run]
"""Starts the comparison of models by name; raises `InputError` if it cannot start."""


class GalleryDialog(QDialog):
    """List of all models, with the card of the selected one.

    Parameters
    ----------
    suggestion : callable
        Returns one sentence on models for the chosen image.
    parent : QWidget, optional

    Signals
    -------
    chosen : (name,)
        The user wants to use a model.
    """

    chosen = Signal(str)

    def __init__(self, suggestion: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Models")
        self._suggestion = suggestion
        self.compare: Compare | None = None
        self.download: Download | None = None
        self.comparison: ComparisonRun | None = None
        self.hint = QLabel()
        self.list = QListWidget()
        self.card = QLabel()
        self.message = MessageLabel()
        self.bar = QProgressBar()
        self.use_button = QPushButton("Use")
        self.download_button = QPushButton("Download")
        self.remove_button = QPushButton("Remove")
        self.compare_button = QPushButton("Compare models")
        self._lay_out()
        self.list.currentItemChanged.connect(self._show_card)
        self.list.itemChanged.connect(self._update_buttons)
        self.list.itemDoubleClicked.connect(self._use)
        self.use_button.clicked.connect(self._use)
        self.download_button.clicked.connect(self._download_or_cancel)
        self.remove_button.clicked.connect(self._remove)
        self.compare_button.clicked.connect(self._compare_or_cancel)
        user_model_signals.changed.connect(self.refresh)

    @property
    def selected(self) -> str:
        """Name of the selected model."""
        item = self.list.currentItem()
        return "" if item is None else str(item.data(Qt.ItemDataRole.UserRole))

    @property
    def ticked(self) -> list[str]:
        """Names of the models to compare."""
        items = (self.list.item(row) for row in range(self.list.count()))
        return [
            str(item.data(Qt.ItemDataRole.UserRole))
            for item in items
            if item is not None and item.checkState() == Qt.CheckState.Checked
        ]

    def select(self, name: str) -> None:
        """Select a model in the list."""
        for row in range(self.list.count()):
            if self.list.item(row).data(Qt.ItemDataRole.UserRole) == name:
                self.list.setCurrentRow(row)

    def refresh(self) -> None:
        """Update the list; the selection and the ticks remain."""
        selected, ticked = self.selected, self.ticked or ["lite"]
        self._entries = {spec.name: ModelEntry.of(spec) for spec in list_models()}
        blocked = self.list.blockSignals(True)  # noqa: FBT003
        self.list.clear()
        for entry in self._entries.values():
            ready = entry.state not in {"missing", "partial"}
            title = f"{entry.name}  ·  {entry.speed}  ·  {entry.state_text}"
            item = QListWidgetItem(f"{title}\n{entry.description}")
            item.setData(Qt.ItemDataRole.UserRole, entry.name)
            checked = Qt.CheckState.Checked if entry.name in ticked else Qt.CheckState.Unchecked
            item.setCheckState(checked)
            font = item.font()
            font.setBold(ready)
            item.setFont(font)
            self.list.addItem(item)
        self.list.blockSignals(blocked)
        self.select(selected or "lite")
        self.hint.setText(self._suggestion())
        self._show_card()

    def abandon(self) -> None:
        """Stop the download and the comparison, because the dock is closing."""
        if self.download is not None:
            self.download.cancel()
        if self.comparison is not None:
            self.comparison.abandon()
            self.comparison = None
        self.close()

    def _show_card(self, _now: object = None, _before: object = None) -> None:
        entry = self._entries.get(self.selected)
        lines = []
        if entry is not None:
            lines = [f"<b>{escape(entry.name)}</b>", f"Licence: {escape(entry.licence)}"]
            if entry.agreement:
                colour = SEVERITY_COLOURS["info"]
                link = f'<a href="{entry.agreement}" style="color: {colour}">'
                lines.append(
                    f"Before the download, accept it at {link}{escape(entry.agreement)}</a>"
                )
            if entry.citation:
                lines.append(f"Cite: {escape(entry.citation)}")
        self.card.setText("<br>".join(lines))
        self._update_buttons()

    def _update_buttons(self, _item: object = None) -> None:
        entry, busy = self._entries.get(self.selected), self.download is not None
        state = entry.state if entry is not None else "missing"
        self.download_button.setText("Cancel download" if busy else "Download")
        if state == "partial" and not busy:
            self.download_button.setText("Resume download")
        self.download_button.setEnabled(busy or state in {"missing", "partial"})
        self.remove_button.setEnabled(not busy and state in {"downloaded", "partial"})
        self.bar.setVisible(busy)
        comparing = self.comparison is not None
        self.compare_button.setText("Cancel comparison" if comparing else "Compare models")
        enabled = self.compare is not None and bool(self.ticked)
        self.compare_button.setEnabled(comparing or enabled)

    def _use(self, _from: object = None) -> None:
        if self.selected:
            self.chosen.emit(self.selected)
            self.close()

    def _download_or_cancel(self, _checked: object = None) -> None:
        if self.download is not None:
            self.download.cancel()
            return
        if offline():
            self.message.show_message(
                f"Downloads are forbidden ({OFFLINE_VARIABLE}): allow them in Preferences.",
                "warning",
            )
            return
        self.message.show_message("")
        self.download = Download(model_spec(self.selected), self)
        self.download.progressed.connect(self._on_progress)
        self.download.ended.connect(self._on_download_end)
        self.bar.setRange(0, 0)
        self.download.start()
        self._update_buttons()

    def _on_progress(self, percentage: int, text: str) -> None:
        self.bar.setRange(0, 100 if percentage >= 0 else 0)
        self.bar.setValue(percentage)
        self.bar.setFormat(text)

    def _on_download_end(self, problem: str) -> None:
        download, self.download = self.download, None
        self.refresh()
        if problem:
            self.message.show_message(problem.splitlines()[0], "warning")
            self.message.setToolTip(problem)
        elif download is not None and download.cancelled:
            self.message.show_message("Cancelled: the next download resumes.")
        elif download is not None:
            self.message.show_message(f"{download.spec.name} is downloaded.")

    def _remove(self, _checked: object = None) -> None:
        name = self.selected
        question = f"Remove the downloaded weights of '{name}'?"
        if QMessageBox.question(self, "Remove model", question) == QMessageBox.StandardButton.Yes:
            self.remove(name)

    def remove(self, name: str) -> None:
        """Delete the downloaded files of a model."""
        try:
            remove_downloads(model_spec(name))
        except InputError as error:
            self.message.show_message(str(error), "warning")
        self.refresh()

    def _compare_or_cancel(self, _checked: object = None) -> None:
        if self.comparison is not None:
            self.comparison.cancel()
            return
        assert self.compare is not None
        try:
            run = self.compare(self.ticked)
        except InputError as error:
            self.message.show_message(str(error), "warning")
            return
        self.message.show_message("")
        self.comparison = ComparisonRun(run, len(self.ticked), self)
        self.comparison.progressed.connect(self.message.show_message)
        self.comparison.compared.connect(self._show_comparison)
        self.comparison.ended.connect(self._on_comparison_end)
        self._update_buttons()

    def _show_comparison(self, comparison: object) -> None:
        self.result = ComparisonDialog(comparison, self)  # type: ignore[arg-type]
        self.result.show()

    def _on_comparison_end(self, outcome: str, text: str) -> None:
        self.comparison = None
        self.message.show_message(text, "info" if outcome in {"done", "cancelled"} else "warning")
        self.refresh()

    def _lay_out(self) -> None:
        self.list.setAccessibleName("Models")
        set_help(self.list, "Tick the models to compare; select one to see its licence.")
        for label in (self.hint, self.card):
            label.setWordWrap(True)
        self.card.setOpenExternalLinks(True)
        self.list.setWordWrap(True)
        self.list.setSpacing(2)
        self.card.setMinimumHeight(76)
        self.card.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.bar.hide()
        buttons = {
            self.use_button: "Choose the selected model.",
            self.download_button: "Download the selected model. A cancelled download is resumed.",
            self.remove_button: "Delete the downloaded files of the selected model.",
            self.compare_button: "Run the ticked models on the annotated frames of the image: "
            "accuracy on parts that are held out, seconds per frame, memory, pictures.",
        }
        grid = QGridLayout()
        for place, (button, text) in enumerate(buttons.items()):
            set_help(button, text)
            button.setAutoDefault(False)
            grid.addWidget(button, place // 2, place % 2)
        layout = QVBoxLayout(self)
        for widget in (self.hint, self.list, self.card, self.bar, self.message):
            layout.addWidget(widget)
        layout.addLayout(grid)
        self.resize(QSize(560, 620))
