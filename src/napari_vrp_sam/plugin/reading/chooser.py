"""The dialog that asks which images of a file to open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QListWidget,
    QVBoxLayout,
    QWidget,
)

from napari_vrp_sam.plugin.reading.layers import describe_image

MAX_DESCRIBED = 30
"""Number of images up to which each is opened to show its shape."""


class ImageChooser(QDialog):
    """List of the images in a file, of which the user chooses one or several.

    Parameters
    ----------
    path : Path
    names : sequence of str
        Names of the images.
    parent : QWidget, optional
    """

    def __init__(self, path: Path, names: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Open images")
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel(f"{path.name} holds {len(names)} images. Open:"))
        self.list = QListWidget()
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        counts = []
        for number, name in enumerate(names):
            known = len(names) <= MAX_DESCRIBED
            shape, count = describe_image(path, number) if known else ("", 0)
            counts.append(count)
            self.list.addItem(f"{number}: {name}" + (f"  ({shape})" if known else ""))
        self.list.setCurrentRow(counts.index(max(counts)))
        self.list.itemDoubleClicked.connect(self.accept)
        layout.addWidget(self.list)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)
        self.resize(480, 320)

    @property
    def chosen(self) -> list[int]:
        """Numbers of the selected images."""
        return sorted(index.row() for index in self.list.selectedIndexes())


def choose_images(path: Path, names: Sequence[str]) -> list[int | None]:
    """Ask which images of a file to open; without a window, the main image is opened.

    Returns
    -------
    list of int or None
        Numbers of the images, None for the main image; empty if the user cancels.
    """
    if len(names) == 1 or QApplication.instance() is None:
        return [None]
    chooser = ImageChooser(path, names, QApplication.activeWindow())
    accepted = chooser.exec() == QDialog.DialogCode.Accepted
    chosen: list[int | None] = [*chooser.chosen] if accepted else []
    chooser.deleteLater()
    return chosen
