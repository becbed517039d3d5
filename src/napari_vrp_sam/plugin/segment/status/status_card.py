"""The status card: message, expected IoU and the state of the worker at one fixed place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_vrp_sam.plugin.widgets.controls import MessageLabel, keep_place, pack, set_help

if TYPE_CHECKING:
    from napari_vrp_sam.plugin.segment.status.panel_view import PanelView

PADDING = 4
"""Pixels that a message takes in addition to its lines."""


class StatusCard(QWidget):
    """Message of the panel, its details, the expected IoU, and the device and worker.

    It is as high as its texts; the scroll area above gives way, and its controls stay in place.

    Parameters
    ----------
    answer : QWidget
        Button that answers a message which asks something; hidden otherwise.
    offer : QWidget
        Buttons that resume or discard an interrupted run.
    """

    def __init__(self, answer: QWidget, offer: QWidget) -> None:
        super().__init__()
        self._answer, self._offer = answer, offer
        self.message = WrappedLabel()
        self.message.setAccessibleName("Status")
        self.quality = WrappedLabel()
        self.quality.setAccessibleName("Expected IoU")
        self.engine = QLabel()
        self.engine.setWordWrap(True)
        set_help(
            self.engine,
            "Device that the model runs on, and state of the background process that runs it. "
            "Choose the device under <b>Advanced</b>.",
        )
        self.details_button = QToolButton()
        self.details_button.setText("Details")
        self.details_button.setCheckable(True)
        self.details_button.setAutoRaise(True)
        keep_place(self.details_button)
        set_help(self.details_button, "Show or hide the details of the message.")
        self.details = QLabel()
        self.details.setWordWrap(True)
        self.details.setTextFormat(Qt.TextFormat.PlainText)
        self.details.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.details_button.toggled.connect(self._show_details)
        foot = QWidget()
        pack(QHBoxLayout(foot), self.engine, self.details_button)
        foot.layout().setStretch(0, 1)
        widgets = self.message, answer, offer, self.details, self.quality, foot
        pack(QVBoxLayout(self), *widgets, spacing=4)
        self._show_details()

    def show_view(self, view: PanelView) -> None:
        """Show the texts of a view."""
        if (self.message.text(), self.message.severity) != (view.message, view.severity):
            self.message.show_message(view.message, view.severity)
        self._answer.setVisible(view.asks)
        if self.quality.text() != view.quality:
            self.quality.show_message(view.quality)
        set_help(self.quality, view.quality_help)
        self._offer.setVisible(view.can_resume)
        self.engine.setText(view.engine)
        if self.details.text() != view.details:
            self.details.setText(view.details)
            self.details_button.setChecked(False)
        self.details_button.setVisible(bool(view.details))
        self._show_details()

    def _show_details(self, _on: bool = False) -> None:  # noqa: FBT001, FBT002 # Qt's signal
        self.details.setVisible(self.details_button.isChecked() and bool(self.details.text()))


class WrappedLabel(MessageLabel):
    """Message that is as high as its text at the present width."""

    def __init__(self) -> None:
        super().__init__()
        self.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.setTextFormat(Qt.TextFormat.PlainText)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """Return the height of the text, at least of one line."""
        return max(super().heightForWidth(width), self._one_line)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return a size with the height of the text at the present width."""
        # The scroll area of the dock does not ask for the height for a width.
        return QSize(super().minimumSizeHint().width(), self.heightForWidth(self.width()))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Ask for another height after a change of the width."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return a size with the height of one line; see also `heightForWidth`."""
        return QSize(super().sizeHint().width(), self._one_line)

    @property
    def _one_line(self) -> int:
        return self.fontMetrics().lineSpacing() + PADDING
