"""A button that opens a page of the documentation."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QPushButton

from napari_vrp_sam.plugin.widgets.controls import set_help

DOCUMENTATION = "https://napari-vrp-sam.github.io/napari-vrp-sam/"
SIDE = 22
"""Pixels; more with a large font."""


class HelpButton(QPushButton):
    """Button "?" that opens a page in the web browser.

    Parameters
    ----------
    page : str
        Source file of the page in the folder `docs`, with an optional anchor, such as
        "getting-started/napari.md#classes".
    topic : str
        Name of the topic, for the tooltip.
    """

    def __init__(self, page: str, topic: str) -> None:
        super().__init__("?")
        self.page = page
        self.setFlat(True)
        self.setFixedSize(SIDE, SIDE)
        # The padding of napari's buttons is wider than this button.
        self.setStyleSheet("QPushButton { padding: 0; background: transparent; }")
        self.setAccessibleName(f"Help: {topic}")
        set_help(self, f"Open the documentation: {topic}.")
        self.clicked.connect(self._open)

    def event(self, event: QEvent) -> bool:
        """Fit the size to another font."""
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange, QEvent.Type.Show):
            side = max(SIDE, self.fontMetrics().height())
            if side != self.height():
                self.setFixedSize(side, side)
        return super().event(event)

    @property
    def url(self) -> str:
        """Address of the page."""
        page, _, anchor = self.page.partition("#")
        address = DOCUMENTATION + page.removesuffix(".md").removesuffix("index") + "/"
        return address.replace("//", "/").replace(":/", "://") + (f"#{anchor}" if anchor else "")

    def _open(self, _checked: bool = False) -> None:  # noqa: FBT001, FBT002 # Qt's signal
        QDesktopServices.openUrl(QUrl(self.url))
