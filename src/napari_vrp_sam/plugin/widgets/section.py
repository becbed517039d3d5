"""A part of the dock that folds away."""

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
"""Flat on either theme; napari would paint the button of an open section as pressed."""


class Section(QCollapsible):
    """A title to click on, or to reach by the tab key; what belongs to it is folded at first."""

    def __init__(self, title: str, tip: str, parent: QWidget | None = None) -> None:
        # Text arrows have the colour of the theme, icons would keep that of their first one.
        super().__init__("", parent, expandedIcon=_no_icon(), collapsedIcon=_no_icon())
        self.toggleButton().setIconSize(QSize(0, 0))
        self._title = title
        self.toggleButton().setStyleSheet(HEADER)
        set_help(self.toggleButton(), tip)
        layout = self.layout()
        assert layout is not None
        layout.setContentsMargins(0, 0, 0, 0)
        self.setDuration(0)  # buttons must not move under the pointer
        self.toggled.connect(self._name)
        self._name(opened=False)

    def _name(self, opened: bool) -> None:  # noqa: FBT001
        self.setText(f"{'▾' if opened else '▸'} {self._title}")


def _no_icon() -> QIcon:
    """An icon that shows nothing; an empty one is false to PySide, and superqt would take none."""
    nothing = QPixmap(1, 1)
    nothing.fill(Qt.GlobalColor.transparent)
    return QIcon(nothing)
