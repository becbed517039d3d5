"""The button that accepts the frame in view, and the key that does the same."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from napari_vrp_sam.plugin.layers.accepted import (
    accepted_frames,
    result_events,
    set_accepted,
    shown_result,
)
from napari_vrp_sam.plugin.layers.frame_view import frame_in_view
from napari_vrp_sam.plugin.layers.metadata import noted
from napari_vrp_sam.plugin.layers.undo import GONE, unwrapped
from napari_vrp_sam.plugin.widgets.controls import set_help

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox
    from napari_vrp_sam.plugin.widgets.undo import UndoHistory

KEY = "A"
"""napari gives it to Points and Shapes layers, not to Labels."""


class AcceptButton(QPushButton):
    """Accepts the frame in view of the current result, or withdraws that; pressing twice undoes.

    Signals
    -------
    changed : (message,)
        What was accepted or withdrawn, in one sentence.
    """

    changed = Signal(str)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image_box: ImageBox,
        history: UndoHistory,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._history = history
        self._image_box = image_box
        # Weakly: results that the user deletes are to leave the memory.
        self._bound: weakref.WeakSet[Layer] = weakref.WeakSet()
        self._locked = False
        set_help(
            self,
            "Once the result on the frame in view is right, or painted right, accept it: no run "
            "touches the frame again, and the next run learns from it as from a mask. Pressed "
            f"again it is withdrawn. Key: {KEY}, with the result selected.",
        )
        self.clicked.connect(self.toggle)
        events = viewer.dims.events
        self._emitters = [
            *(events.current_step, events.ndisplay, events.order),
            *result_events(viewer),
        ]
        for emitter in self._emitters:
            emitter.connect(self.refresh)
        image_box.chosen.connect(self.refresh)
        self.refresh()

    def toggle(self, _checked: Any = None) -> None:
        """Accept the frame in view, or withdraw it."""
        at = self._in_view()
        if at is None or self._locked:
            return
        layer, frames, index = at
        name = _name(frames, index)
        accept = index not in accepted_frames(layer)
        verb = "accept" if accept else "withdraw"
        ref = weakref.ref(unwrapped(layer))
        self._set(ref, index, accepted=accept)
        self._history.push(
            f"{verb} frame {name}",
            partial(self._set, ref, index, accepted=not accept),
            partial(self._set, ref, index, accepted=accept),
        )
        if not accept:
            self.changed.emit(f"Frame {name} is withdrawn: the next run may change it.")
        elif index in (noted(layer, "frames_done") or []):
            self.changed.emit(f"Frame {name} is accepted: it stays, and the next run learns of it.")
        else:
            self.changed.emit(f"Frame {name} is accepted as it is, though no run has reached it.")

    def refresh(self, _event: Any = None) -> None:
        """Say what a press would do; nothing to press without a result."""
        at = self._in_view()
        self.setVisible(at is not None)
        if at is None:
            return
        layer, frames, index = at
        self._bind(layer)
        verb = "Withdraw" if index in accepted_frames(layer) else "Accept"
        self.setText(f"{verb} frame {_name(frames, index)}")

    def lock(self, *, locked: bool) -> None:
        """Accept nothing while a run is under way: it would not heed it."""
        self._locked = locked
        self.setDisabled(locked)
        self.refresh()

    def release(self) -> None:
        """Let go of the viewer, which is closing."""
        for emitter in self._emitters:
            emitter.disconnect(self.refresh)
        for layer in self._bound:
            layer.bind_key(KEY, None)

    def _set(self, ref: weakref.ref[Labels], index: int, *, accepted: bool) -> str | None:
        layer = ref()
        if layer is None or layer not in self._viewer.layers:
            return GONE
        frames = set(accepted_frames(layer)) - {index}
        set_accepted(layer, frames | {index} if accepted else frames)
        self.refresh()
        return None

    def _in_view(self) -> tuple[Labels, Frames, int] | None:
        at = shown_result(self._viewer, self._image_box.layer)
        if at is None:
            return None
        index = frame_in_view(*at, self._viewer.dims)
        return (*at, index) if index is not None else None

    def _bind(self, layer: Labels) -> None:
        if unwrapped(layer) not in self._bound:
            layer.bind_key(KEY, lambda _layer: self.toggle(), overwrite=True)
            self._bound.add(unwrapped(layer))


def _name(frames: Frames, index: int) -> str:
    """A frame as napari's sliders number it."""
    return ", ".join(map(str, frames.position(index))) or "0"
