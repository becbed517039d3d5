"""Small Qt controls that follow the viewer: a choice of layer, a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import (
    QComboBox,
    QLabel,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.probabilities import is_probability

if TYPE_CHECKING:
    import napari

Mood = Literal["info", "warning", "error"]
MOOD_COLOURS = {"info": "#3b8ed0", "warning": "#d99a00", "error": "#d9433f"}
"""Legible on the dark and on the light theme; only a bar, the text keeps the theme's colour."""


TEXT_MARGIN = 8
"""Pixels that napari's style keeps free around the text of a combo box."""

PRIMARY = """
QPushButton { background-color: #3d6fd1; color: white; font-weight: bold; }
QPushButton:hover { background-color: #4b7de0; }
QPushButton:disabled { background-color: rgba(128, 128, 128, 70); color: gray; }
"""
"""Style of the one button that does the work, for either theme."""


def explain(widget: QWidget, text: str) -> None:
    """Give a control its tooltip, wrapped, and readable to a screen reader."""
    widget.setToolTip(f"<qt>{text}</qt>")
    widget.setAccessibleDescription(text)


class NarrowComboBox(QComboBox):
    """A combo box that shortens a long entry instead of widening the dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Draw the box with its text shortened in the middle."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        room = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, Qt.TextElideMode.ElideMiddle, room.width() - TEXT_MARGIN
        )
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


class ImageBox(NarrowComboBox):
    """The image layers of a viewer."""

    chosen = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[Image] = []
        self.currentIndexChanged.connect(lambda _: self.chosen.emit())
        self.follow()

    @property
    def layer(self) -> Image | None:
        """The chosen image; None if there is none."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    @property
    def image(self) -> Image:
        """The chosen image.

        Raises
        ------
        InputError
            If there is none.
        """
        if self.layer is None:
            raise InputError("There is no image yet: open an image stack first.")
        return self.layer

    def follow(self) -> None:
        """Take over the viewer's image layers; keep the choice, else choose the topmost."""
        before = self.layer
        self._layers = [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Image) and not is_probability(layer)
        ]
        blocked = self.blockSignals(True)  # noqa: FBT003
        self.clear()
        self.addItems([layer.name for layer in self._layers])
        self.setCurrentIndex(
            self._layers.index(before) if before in self._layers else len(self._layers) - 1
        )
        self.blockSignals(blocked)
        if self.layer is not before:
            self.chosen.emit()

    def choose(self, layer: Image) -> None:
        """Choose one of the images."""
        if layer in self._layers:
            self.setCurrentIndex(self._layers.index(layer))


class MessageLabel(QLabel):
    """One sentence for the user, with a bar whose colour tells how much it matters."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        self.say("")

    def say(self, text: str, mood: Mood = "info") -> None:
        """Show a sentence; an empty one hides the label."""
        self.mood = mood
        self.setText(text)
        self.setStyleSheet(
            f"QLabel {{ border-left: 3px solid {MOOD_COLOURS[mood]}; padding: 2px 0 2px 7px; }}"
        )
        self.setVisible(bool(text))
