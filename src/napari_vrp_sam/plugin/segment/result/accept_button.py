"""Button and key that accept the frame in view."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton

from napari_vrp_sam.plugin.layers.frame_view import frame_in_view, frame_number
from napari_vrp_sam.plugin.layers.metadata import get_metadata, unwrap
from napari_vrp_sam.plugin.layers.outputs.accepted import (
    accepted_frames,
    current_result_with_frames,
    result_events,
    set_accepted_frames,
)
from napari_vrp_sam.plugin.layers.outputs.results import FRAMES_DONE
from napari_vrp_sam.plugin.layers.undo import LAYER_DELETED
from napari_vrp_sam.plugin.widgets.controls import set_help

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox
    from napari_vrp_sam.plugin.widgets.undo import UndoHistory

KEY = "A"
"""Key binding of result layers; napari uses it in Points and Shapes layers, not in Labels."""


class AcceptButton(QPushButton):
    """Accept the frame in view of the current result, or unaccept it."""

    changed = Signal(str)
    """Emits a message after a frame was accepted or unaccepted."""

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image_box: ImageBox,
        history: UndoHistory,
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._history = history
        self._image_box = image_box
        # Weak references, so that deleted results are freed.
        self._bound: weakref.WeakSet[Layer] = weakref.WeakSet()
        self._locked = False
        set_help(
            self,
            "Accept the result on the frame in view when it is correct or has been corrected: the "
            "next runs do not change the frame and use it as a mask annotation. Press again to "
            f"unaccept it. Key: {KEY}, with the result selected.",
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
        """Accept the frame in view, or unaccept it."""
        current = self._in_view()
        if current is None or self._locked:
            return
        layer, frames, index = current
        number = frame_number(frames.position(index))
        accept = index not in accepted_frames(layer)
        ref = weakref.ref(unwrap(layer))
        if accept and not layer.visible:
            # The user may have drawn in another layer; what was accepted must be seen.
            self._viewer.layers.selection.active = layer
            layer.visible = True
        self._set(ref, index, accepted=accept)
        self._history.push(
            f"{'accept' if accept else 'unaccept'} frame {number}",
            partial(self._set, ref, index, accepted=not accept),
            partial(self._set, ref, index, accepted=accept),
        )
        if not accept:
            message = "is no longer accepted: the next run may change it."
        elif index in (get_metadata(layer, FRAMES_DONE) or []):
            message = "is accepted: the next run learns from it and does not change it."
        else:
            message = "is accepted, although no run has segmented it."
        self.changed.emit(f"Frame {number} {message}")

    def refresh(self, _event: Any = None) -> None:
        """Update the text and the key binding; hide the button without a result."""
        current = self._in_view()
        self.setVisible(current is not None)
        if current is None:
            return
        layer, frames, index = current
        self._bind(layer)
        verb = "Unaccept" if index in accepted_frames(layer) else "Accept"
        self.setText(f"{verb} frame {frame_number(frames.position(index))}")

    def lock(self, *, locked: bool) -> None:
        """Disable the button during a run, which would ignore changes."""
        self._locked = locked
        self.setDisabled(locked)
        self.refresh()

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        for emitter in self._emitters:
            emitter.disconnect(self.refresh)
        for layer in self._bound:
            layer.bind_key(KEY, None)

    def _set(self, ref: weakref.ref[Labels], index: int, *, accepted: bool) -> str | None:
        layer = ref()
        if layer is None or layer not in self._viewer.layers:
            return LAYER_DELETED
        frames = set(accepted_frames(layer)) - {index}
        set_accepted_frames(layer, frames | {index} if accepted else frames)
        self.refresh()
        return None

    def _in_view(self) -> tuple[Labels, Frames, int] | None:
        current = current_result_with_frames(self._viewer, self._image_box.layer)
        if current is None:
            return None
        index = frame_in_view(*current, self._viewer.dims)
        return (*current, index) if index is not None else None

    def _bind(self, layer: Labels) -> None:
        if unwrap(layer) not in self._bound:
            layer.bind_key(KEY, lambda _layer: self.toggle(), overwrite=True)
            self._bound.add(unwrap(layer))
