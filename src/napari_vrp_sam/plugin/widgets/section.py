"""A collapsible section of a dock."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QWidget
from superqt import QCollapsible

from napari_vrp_sam.plugin.widgets.controls import set_help
from napari_vrp_sam.plugin.widgets.help_button import HelpButton

HEADER = """
QPushButton { text-align: left; border: none; background: transparent; padding: 2px 0; }
QPushButton:hover, QPushButton:focus { text-decoration: underline; }
"""
"""Flat style; napari would draw the button of an expanded section as pressed."""


UNLIMITED = 16_777_215
"""Qt's QWIDGETSIZE_MAX."""


class Section(QCollapsible):
    """Collapsible section with a title button and a link to its help, collapsed at first.

    Parameters
    ----------
    title, tip : str
    page : str
        Page of the documentation; see `HelpButton`.
    parent : QWidget, optional
    """

    def __init__(self, title: str, tip: str, page: str, parent: QWidget | None = None) -> None:
        # Arrows are characters of the title: icons would not follow a change of theme.
        super().__init__("", parent, expandedIcon=_no_icon(), collapsedIcon=_no_icon())
        self.toggleButton().setIconSize(QSize(0, 0))
        self._title, self._remark = title, ""
        self.toggleButton().setStyleSheet(HEADER)
        set_help(self.toggleButton(), tip)
        layout = self.layout()
        assert layout is not None
        layout.setContentsMargins(0, 0, 0, 0)
        self.help_button = HelpButton(page, title)
        head = QHBoxLayout()
        head.setSpacing(3)
        layout.removeWidget(self.toggleButton())
        head.addWidget(self.toggleButton(), 1)
        head.addWidget(self.help_button)
        layout.insertLayout(0, head)
        content = self.content().layout()
        assert content is not None
        content.setContentsMargins(3, 0, 0, 0)
        self.setDuration(0)  # an animation would move buttons under the pointer
        self.toggled.connect(self._update)
        self._update(opened=False)

    def set_remark(self, remark: str) -> None:
        """Show a remark behind the title, in brackets; an empty one removes it."""
        if remark != self._remark:
            self._remark = remark
            self._update(opened=self.isExpanded())

    def eventFilter(self, _watched: QObject, _event: QEvent) -> bool:  # noqa: N802
        """Do not limit the height of the content again when it changes."""
        return False

    def _update(self, opened: bool) -> None:  # noqa: FBT001
        remark = f" ({self._remark})" if self._remark else ""
        self.setText(f"{'▾' if opened else '▸'} {self._title}{remark}")
        if opened:
            self.content().setMaximumHeight(UNLIMITED)  # its rows may wrap in a narrower dock


def _no_icon() -> QIcon:
    """Return a transparent icon; superqt ignores an empty QIcon, which is falsy in PySide."""
    pixmap = QPixmap(1, 1)
    pixmap.fill(Qt.GlobalColor.transparent)
    return QIcon(pixmap)
