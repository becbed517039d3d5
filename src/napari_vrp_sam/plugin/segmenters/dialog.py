"""Dialog with the segmenters that were saved or opened last."""

from __future__ import annotations

import shutil
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSize, Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices, QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QGridLayout,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic, explain_write_errors
from napari_vrp_sam.inference.segmenter_summary import SegmenterSummary, segmenter_summary
from napari_vrp_sam.plugin.segmenters.recent import (
    forget_segmenter,
    recent_segmenters,
    remember_segmenter,
)
from napari_vrp_sam.plugin.widgets.controls import MessageLabel, set_help
from napari_vrp_sam.wording import count

COLUMNS = "Name", "Classes", "Model", "Saved"
ICON = 64
SUFFIX = ".segmenter"
FILTER = f"Segmenters (*{SUFFIX});;All files (*)"
SUMMARY = Qt.ItemDataRole.UserRole


class SegmentersDialog(QDialog):
    """List of saved segmenters with a picture of each.

    Signals
    -------
    chosen : (path,)
        The user wants to apply a segmenter to the image in view.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Saved segmenters")
        self.list = QTreeWidget()
        self.message = MessageLabel()
        self.apply_button = QPushButton("Apply")
        self.open_button = QPushButton("Add file…")
        self.copy_button = QPushButton("Export copy…")
        self.folder_button = QPushButton("Open folder")
        self.remove_button = QPushButton("Remove from list")
        self._lay_out()
        self.list.currentItemChanged.connect(self._update)
        self.list.itemActivated.connect(self._apply)
        self.apply_button.clicked.connect(self._apply)
        self.open_button.clicked.connect(self._ask_for_file)
        self.copy_button.clicked.connect(self._ask_for_copy)
        self.folder_button.clicked.connect(self._open_folder)
        self.remove_button.clicked.connect(self._remove)

    @property
    def selected(self) -> SegmenterSummary | None:
        """The selected segmenter."""
        item = self.list.currentItem()
        return None if item is None else item.data(0, SUMMARY)

    def refresh(self) -> None:
        """Read the list again; the selection remains."""
        before = self.selected
        self.list.clear()
        for path in recent_segmenters():
            try:
                summary = segmenter_summary(path)
            except InputError:  # replaced by another file, or damaged
                continue
            item = _item(summary)
            self.list.addTopLevelItem(item)
            if before is not None and before.path == path:
                self.list.setCurrentItem(item)
        if self.list.currentItem() is None and self.list.topLevelItemCount():
            self.list.setCurrentItem(self.list.topLevelItem(0))
        empty = "No segmenter yet: Apply to other images > Save segmenter writes one."
        self.message.show_message("" if self.list.topLevelItemCount() else empty)
        self._update()

    def add(self, path: Path) -> None:
        """Add a file to the list and select it."""
        try:
            segmenter_summary(path)
        except InputError as error:
            self.message.show_message(str(error), "warning")
            return
        remember_segmenter(path)
        self.list.clear()
        self.refresh()

    def export_copy(self, path: Path) -> None:
        """Copy the selected file, to share it."""
        summary = self.selected
        if summary is None or summary.path == path:
            return
        try:
            with explain_write_errors(path), atomic(path) as temporary:
                shutil.copyfile(summary.path, temporary)
        except InputError as error:
            self.message.show_message(str(error), "warning")
        else:
            self.message.show_message(f"Copied to {path}.")

    def _update(self, *_: object) -> None:
        for button in (
            self.apply_button, self.copy_button, self.folder_button, self.remove_button
        ):  # fmt: skip
            button.setEnabled(self.selected is not None)

    def _apply(self, *_: Any) -> None:
        if self.selected is not None:
            self.chosen.emit(self.selected.path)
            self.close()

    def _remove(self, _checked: object = None) -> None:
        if self.selected is not None:
            forget_segmenter(self.selected.path)
            self.refresh()

    def _open_folder(self, _checked: object = None) -> None:
        if self.selected is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.selected.path.parent)))

    def _ask_for_file(self, _checked: object = None) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Add segmenter", "", FILTER)
        if path:
            self.add(Path(path))

    def _ask_for_copy(self, _checked: object = None) -> None:
        if self.selected is None:
            return
        name = self.selected.path.name
        path, _ = QFileDialog.getSaveFileName(self, "Export copy", name, FILTER)
        if path:
            self.export_copy(Path(path) if Path(path).suffix else Path(path).with_suffix(SUFFIX))

    def _lay_out(self) -> None:
        self.list.setHeaderLabels(COLUMNS)
        self.list.setRootIsDecorated(False)
        self.list.setIconSize(QSize(ICON, ICON))
        self.list.setColumnWidth(0, 220)
        self.list.setAccessibleName("Saved segmenters")
        set_help(
            self.list,
            "Segmenters that were saved or added last. Double-click one to segment the chosen "
            "image with it.",
        )
        buttons = {
            self.apply_button: "Segment the chosen image with the selected segmenter.",
            self.open_button: "Add a segmenter that was saved elsewhere, or in Python.",
            self.copy_button: "Copy the selected file, to share it. It contains the annotated "
            "images.",
            self.folder_button: "Show the folder of the selected file.",
            self.remove_button: "Remove the selected file from this list. The file stays.",
        }
        grid = QGridLayout()
        for place, (button, text) in enumerate(buttons.items()):
            set_help(button, text)
            button.setAutoDefault(False)
            grid.addWidget(button, place // 3, place % 3)
        layout = QVBoxLayout(self)
        for widget in (self.list, self.message):
            layout.addWidget(widget)
        layout.addLayout(grid)
        self.resize(QSize(560, 420))


def _item(summary: SegmenterSummary) -> QTreeWidgetItem:
    saved = summary.saved.astimezone().strftime("%Y-%m-%d %H:%M")
    classes = ", ".join(summary.classes.values())
    model = Path(summary.model).name
    item = QTreeWidgetItem([summary.path.stem, classes, model, saved])
    item.setData(0, SUMMARY, summary)
    annotated = count(summary.references, "annotated image")
    channels = count(summary.channels, "channel")
    text = f"{escape(str(summary.path))}<br>{annotated}, {channels}"
    for column in range(len(COLUMNS)):
        item.setToolTip(column, f"<qt>{text}</qt>")
    if summary.thumbnail is not None:
        height, width, _ = summary.thumbnail.shape
        pixels = summary.thumbnail.tobytes()
        image = QImage(pixels, width, height, 3 * width, QImage.Format.Format_RGB888)
        item.setIcon(0, QIcon(QPixmap.fromImage(image)))
    return item
