"""Which channels of an image the model sees."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent, QMouseEvent, QResizeEvent
from qtpy.QtWidgets import QMenu, QPushButton, QSizePolicy, QWidget

from napari_vrp_sam.plugin.layers.stacks import stack_data
from napari_vrp_sam.plugin.widgets.controls import set_help

if TYPE_CHECKING:
    from napari.layers import Image

MAX_CHANNELS = 3
"""Channels that a model sees, as the photographs that it learned from have."""

ROOM_FOR_ARROW = 30
"""Pixels of the button that its text has to leave free."""

COLOURS = ("red", "green", "blue", "alpha")


class ChannelBox(QPushButton):
    """A button that opens a list of channels to tick; the first three are ticked at the start.

    Signals
    -------
    changed : ()
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._names: tuple[str, ...] = ()
        self._chosen = ""
        self.setMenu(_TickMenu(self))
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setStyleSheet("QPushButton { text-align: left; padding-left: 6px; }")
        set_help(
            self,
            f"The channels of each frame that the model sees: {MAX_CHANNELS} at most. Open the list with a "
            "click or the space bar, tick with a click or the space bar, close it with Esc.",
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels on offer; none or one is no choice."""
        return self._names

    @property
    def channels(self) -> tuple[int, ...] | None:
        """Indices of the ticked channels, ascending; None where there is nothing to choose."""
        if len(self._names) < 2:
            return None
        return tuple(i for i, action in enumerate(self.menu().actions()) if action.isChecked())

    @property
    def problem(self) -> str:
        """One sentence on a choice that the model cannot heed, else empty."""
        if self.channels == ():
            return "No channel is ticked: tick one at least."
        if self.channels is not None and len(self.channels) > MAX_CHANNELS:
            first = ", ".join(self._names[i] for i in self.channels[:MAX_CHANNELS])
            return f"The model sees {MAX_CHANNELS} channels: untick some, or only {first} count."
        return ""

    def offer(self, names: Sequence[str]) -> None:
        """Offer the channels of an image; a choice stays where the channels stay the same."""
        if tuple(names) == self._names:
            return
        self._names = tuple(names)
        self.menu().clear()
        for index, name in enumerate(names):
            action = self.menu().addAction(name)
            action.setCheckable(True)
            action.setChecked(index < MAX_CHANNELS)
            action.toggled.connect(self._follow_ticks)
        self._follow_ticks()

    def choose(self, channels: Collection[int]) -> None:
        """Tick these channels and no others."""
        for index, action in enumerate(self.menu().actions()):
            action.setChecked(index in channels)

    def _follow_ticks(self, _on: bool = False) -> None:  # noqa: FBT001, FBT002 # Qt's signal
        chosen = self.channels or ()
        everything = len(chosen) == len(self._names)
        self._chosen = "all" if everything else ", ".join(self._names[i] for i in chosen) or "none"
        self.setAccessibleName(f"Channels: {self._chosen}")
        self._fit()
        self.changed.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Show as much of the choice as there is room for."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room = self.width() - ROOM_FOR_ARROW
        text = self.fontMetrics().elidedText(self._chosen, Qt.TextElideMode.ElideRight, room)
        # A single & would underline the letter after it.
        self.setText(text.replace("&", "&&"))


class _TickMenu(QMenu):
    """Stays open while its entries are ticked."""

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Tick the entry under the mouse."""
        action = self.actionAt(event.pos())
        if action is None:
            super().mouseReleaseEvent(event)
        else:
            action.toggle()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Tick the entry that the arrow keys went to."""
        if event.key() == Qt.Key.Key_Space and self.activeAction() is not None:
            self.activeAction().toggle()
        else:
            super().keyPressEvent(event)


def channel_names(image: Image, axes: str) -> list[str]:
    """Names of an image's channels: as its file tells, else colours or numbers from 0.

    Parameters
    ----------
    image : Image
    axes : str
        Letters of its axes; without C or S there are no channels.
    """
    if "S" in axes:
        return list(COLOURS[: stack_data(image).shape[-1]])
    if "C" not in axes:
        return []
    count = int(stack_data(image).shape[axes.index("C")])
    sendable_stack = image.metadata.get("Channel")  # OME, as tifffile reads it
    known = sendable_stack.get("Name") if isinstance(sendable_stack, dict) else None
    known = image.metadata.get("channel_names", known)
    if isinstance(known, list | tuple) and len(known) == count:
        return [str(name) for name in known]
    return [str(index) for index in range(count)]
