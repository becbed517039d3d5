"""A collapsible section of a dock."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QWidget
from superqt import QCollapsible

from napari_vrp_sam.plugin.widgets.controls import set_help

HEADER = """
QPushButton { text-align: left; border: none; background: transparent; padding: 2px 0; }
QPushButton:hover, QPushButton:focus { text-decoration: underline; }
"""
"""Flat style; napari would draw the button of an expanded section as pressed."""


class Section(QCollapsible):
    """Collapsible section with a title button, collapsed at first."""

    def __init__(self, title: str, tip: str, parent: QWidget | None = None) -> None:
        # Arrows are characters of the title: icons would not follow a change of theme.
        super().__init__("", parent, expandedIcon=_no_icon(), collapsedIcon=_no_icon())
        self.toggleButton().setIconSize(QSize(0, 0))
        self._title = title
        self.toggleButton().setStyleSheet(HEADER)
        set_help(self.toggleButton(), tip)
        layout = self.layout()
        assert layout is not None
        layout.setContentsMargins(0, 0, 0, 0)
        self.setDuration(0)  # an animation would move buttons under the pointer
        self.toggled.connect(self._update_title)
        self._update_title(opened=False)

    def _update_title(self, opened: bool) -> None:  # noqa: FBT001
        self.setText(f"{'▾' if opened else '▸'} {self._title}")


def _no_icon() -> QIcon:
    """Return a transparent icon; superqt ignores an empty QIcon, which is falsy in PySide."""
    pixmap = QPixmap(1, 1)
    pixmap.fill(Qt.GlobalColor.transparent)
    return QIcon(pixmap)
