"""Button to choose the channels of an image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent, QMouseEvent
from qtpy.QtWidgets import QMenu

from napari_vrp_sam.plugin.layers.metadata import CHANNEL_NAMES, get_metadata
from napari_vrp_sam.plugin.layers.stacks import stack_data
from napari_vrp_sam.plugin.widgets.controls import ElidedButton, set_help

if TYPE_CHECKING:
    from napari.layers import Image

ARROW_WIDTH = 30
"""Pixels of the button that are reserved for the menu arrow."""

HELP = (
    "Channels that the model uses. More than three are combined to three, by what the annotation "
    "tells apart. Open the list and tick with a click or the space bar; close the list with Esc."
)

ALPHA = "alpha"
COLOURS = ("red", "green", "blue", ALPHA)


class ChannelBox(ElidedButton):
    """Button with a menu of channels to tick; by default all except transparency are ticked."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__(reserved=ARROW_WIDTH)
        self._names: tuple[str, ...] = ()
        self.setMenu(_CheckableMenu(self))
        self.setStyleSheet("QPushButton { text-align: left; padding-left: 6px; }")
        set_help(self, HELP)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels of the image; empty without a channel axis."""
        return self._names

    @property
    def channels(self) -> tuple[int, ...] | None:
        """Indices of the ticked channels, ascending; None for fewer than two channels."""
        if len(self._names) < 2:
            return None
        return tuple(i for i, action in enumerate(self.menu().actions()) if action.isChecked())

    @property
    def problem(self) -> str:
        """Problem with the ticked channels, in one sentence; empty if there is none."""
        return "No channel is ticked: tick at least one." if self.channels == () else ""

    def set_names(self, names: Sequence[str]) -> None:
        """List the channels of an image; keep the ticks if the names are the same."""
        if tuple(names) == self._names:
            return
        self._names = tuple(names)
        self.menu().clear()
        for name in names:
            action = self.menu().addAction(name)
            action.setCheckable(True)
            action.setChecked(name != ALPHA)
            action.toggled.connect(self._update)
        self._update()

    def choose(self, channels: Collection[int]) -> None:
        """Tick exactly these channels."""
        for index, action in enumerate(self.menu().actions()):
            action.setChecked(index in channels)

    def _update(self, _on: bool = False) -> None:  # noqa: FBT001, FBT002 # Qt's signal
        chosen = self.channels or ()
        everything = len(chosen) == len(self._names)
        text = "all" if everything else ", ".join(self._names[i] for i in chosen) or "none"
        self.show_text(text)
        self.setAccessibleName(f"Channels: {text}")
        set_help(self, f"Chosen: {escape(text)}. {HELP}")
        self.changed.emit()


class _CheckableMenu(QMenu):
    """Menu that stays open while its entries are toggled."""

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Toggle the entry under the mouse."""
        action = self.actionAt(event.pos())
        if action is None:
            super().mouseReleaseEvent(event)
        else:
            action.toggle()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Toggle the entry that was selected with the arrow keys."""
        if event.key() == Qt.Key.Key_Space and self.activeAction() is not None:
            self.activeAction().toggle()
        else:
            super().keyPressEvent(event)


def channel_names(image: Image, axes: str) -> list[str]:
    """Return the names of an image's channels; none without a C or S axis.

    Names come from the metadata ("channel_names" or OME "Channel") or the file. Otherwise, they are
    colours for RGB(A), and numbers from 0.
    """
    if "S" in axes:
        return list(COLOURS[: stack_data(image).shape[-1]])
    if "C" not in axes:
        return []
    count = int(stack_data(image).shape[axes.index("C")])
    ome = image.metadata.get("Channel")  # OME metadata as read by tifffile
    names = ome.get("Name") if isinstance(ome, dict) else None
    names = get_metadata(image, CHANNEL_NAMES) or names
    names = image.metadata.get("channel_names", names)
    if isinstance(names, list | tuple) and len(names) == count:
        return [str(name) for name in names]
    return [str(index) for index in range(count)]
