"""Undo and redo of the plugin's actions; brush strokes have napari's own undo."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_vrp_sam.plugin.widgets.controls import ElidedButton, pack, set_help

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

LIMIT = 30
"""Maximum number of actions; removed layers stay in memory as long as they can be restored."""
UNDO_KEY, REDO_KEY = "Ctrl+Alt+Z", "Ctrl+Alt+Shift+Z"
"""Viewer key bindings; napari undoes brush strokes with Ctrl+Z."""
LOCKED = "Undo is not available during a run: cancel the run or wait until it ends."

CHOSEN = object()
"""Stands for the chosen image."""

Change = Callable[[], str | None]
"""Undo or redo step; may return a sentence that says what it could not change, and why."""

_histories: weakref.WeakSet[UndoHistory] = weakref.WeakSet()


@dataclass(frozen=True, eq=False)
class _Action:
    """An action that was done, on an image if it is not about all of them."""

    text: str
    undo: Change
    redo: Change
    image: Hashable


class UndoHistory(QObject):
    """Actions of one dock; `locked` during a run."""

    changed = Signal()
    """Emitted after the next action to undo or redo, or the lock, has changed."""
    reported = Signal(str)
    """Emits a message after an action was undone or redone, or if the history is locked."""

    def __init__(self, viewer: napari.viewer.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._busy = False
        self.locked = False
        self._done: list[_Action] = []
        self._undone: list[_Action] = []
        self._chosen: Callable[[], Layer | None] = lambda: None
        _histories.add(self)

    def follow(self, chosen: Callable[[], Layer | None]) -> None:
        """Offer the actions on an image only while it is chosen; `chosen` returns that image.

        Call `refresh` when it has changed.
        """
        self._chosen = chosen

    def refresh(self) -> None:
        """Follow the choice of another image."""
        self.changed.emit()

    @property
    def undo_text(self) -> str:
        """Name of the next action to undo; empty if there is none."""
        action = self._next(self._done)
        return "" if action is None else action.text

    @property
    def redo_text(self) -> str:
        """Name of the next action to redo; empty if there is none."""
        action = self._next(self._undone)
        return "" if action is None else action.text

    def push(self, text: str, undo: Change, redo: Change, *, image: Hashable = CHOSEN) -> None:
        """Add an action that was just done; ignored while another one is undone or redone.

        Parameters
        ----------
        text : str
            Name of the action, such as "accept frame 12".
        undo, redo : callable
            Must cope with layers and classes that the user has deleted or changed meanwhile.
        image : hashable
            Unique id of the image that the action is about; None if it is about all images.
            Default: the chosen image.
        """
        if self._busy:
            return
        action = _Action(text, undo, redo, self._image() if image is CHOSEN else image)
        self._undone = [other for other in self._undone if not self._is_offered(other)]
        self._done = [*self._done, action][-LIMIT:]
        self.changed.emit()

    def undo(self) -> None:
        """Undo the last action, unless the history is locked."""
        self._step("Undone", self._done, self._undone, lambda action: action.undo())

    def redo(self) -> None:
        """Redo the action that was undone last, unless the history is locked."""
        self._step("Redone", self._undone, self._done, lambda action: action.redo())

    def lock(self, *, locked: bool) -> None:
        """Lock the history during a run, which relies on the state at its start."""
        self.locked = locked
        self.changed.emit()

    def enable_keys(self, *, enabled: bool) -> None:
        """Bind the keys for undo and redo in the viewer, or unbind them."""
        for key, step in {UNDO_KEY: self.undo, REDO_KEY: self.redo}.items():
            function = (lambda _viewer, step=step: step()) if enabled else None
            self._viewer.bind_key(key, function, overwrite=True)

    def has_layer(self, layer: Layer) -> bool:
        """Return True if a layer is in this viewer."""
        return layer in self._viewer.layers

    def release(self) -> None:
        """Disconnect from the viewer, which is closing, and drop all layers."""
        _histories.discard(self)
        self.enable_keys(enabled=False)
        self._done, self._undone = [], []
        self._chosen = lambda: None

    def _step(
        self,
        verb: str,
        source: list[_Action],
        target: list[_Action],
        step: Callable[[_Action], str | None],
    ) -> None:
        action = self._next(source)
        if self.locked:
            self.reported.emit(LOCKED)
        elif action is not None and not self._busy:
            self._busy = True
            source.remove(action)
            target.append(action)
            try:
                message = step(action)
            finally:
                self._busy = False
            self.changed.emit()
            self.reported.emit(message or f"{verb}: {action.text}.")

    def _next(self, actions: list[_Action]) -> _Action | None:
        return next((action for action in reversed(actions) if self._is_offered(action)), None)

    def _is_offered(self, action: _Action) -> bool:
        """Return True if an action is about the chosen image, all images, or one that is gone."""
        if action.image in (None, self._image()):
            return True
        return all(layer.unique_id != action.image for layer in self._viewer.layers)

    def _image(self) -> Hashable:
        image = self._chosen()
        return None if image is None else image.unique_id


class UndoButtons(QWidget):
    """Buttons for undo and redo, which name the action."""

    def __init__(self, history: UndoHistory) -> None:
        super().__init__()
        self._history = history
        self.undo_button, self.redo_button = ElidedButton(), ElidedButton()
        self.undo_button.clicked.connect(history.undo)
        self.redo_button.clicked.connect(history.redo)
        row = QHBoxLayout(self)
        pack(row, self.undo_button, self.redo_button, spacing=3)
        row.setStretch(0, 3)  # always the same, whatever their texts
        row.setStretch(1, 2)
        history.changed.connect(self.refresh)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Update the buttons from the history."""
        history = self._history
        for button, verb, key, text in (
            (self.undo_button, "Undo", UNDO_KEY, history.undo_text),
            (self.redo_button, "Redo", REDO_KEY, history.redo_text),
        ):
            button.setEnabled(bool(text) and not history.locked)
            button.show_text(f"{verb}: {text}" if text else verb)
            action = f"{verb}: {escape(text)}." if text else f"Nothing to {verb.lower()}."
            set_help(button, LOCKED if history.locked else f"{action} Key: {key}.")


def push_for_layer(layer: Layer, text: str, undo: Change, redo: Change) -> None:
    """Add an action on a layer to the history of the dock in its viewer, if one is open."""
    for history in list(_histories):
        if history.has_layer(layer):
            history.push(text, undo, redo)
