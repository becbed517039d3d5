"""Undo and redo of the plugin's actions; brush strokes have napari's own undo."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_vrp_sam.plugin.widgets.controls import pack, set_help

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

LIMIT = 30
"""Maximum number of actions; removed layers stay in memory as long as they can be restored."""
UNDO_KEY, REDO_KEY = "Ctrl+Alt+Z", "Ctrl+Alt+Shift+Z"
"""Viewer key bindings; napari undoes brush strokes with Ctrl+Z."""
LOCKED = "Undo is not available during a run: cancel the run or wait until it ends."

Change = Callable[[], str | None]
"""Undo or redo step; may return a sentence that says what it could not change, and why."""

_histories: weakref.WeakSet[UndoHistory] = weakref.WeakSet()


class _Action(NamedTuple):
    text: str
    undo: Change
    redo: Change


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
        self._done: deque[_Action] = deque(maxlen=LIMIT)
        self._undone: deque[_Action] = deque()
        _histories.add(self)

    @property
    def undo_text(self) -> str:
        """Name of the next action to undo; empty if there is none."""
        return self._done[-1].text if self._done else ""

    @property
    def redo_text(self) -> str:
        """Name of the next action to redo; empty if there is none."""
        return self._undone[-1].text if self._undone else ""

    def push(self, text: str, undo: Change, redo: Change) -> None:
        """Add an action that was just done; ignored while another one is undone or redone.

        Parameters
        ----------
        text : str
            Name of the action, such as "accept frame 12".
        undo, redo : callable
            Must cope with layers and classes that the user has deleted or changed meanwhile.
        """
        if not self._busy:
            self._done.append(_Action(text, undo, redo))
            self._undone.clear()
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
        self._done.clear()
        self._undone.clear()

    def _step(
        self,
        verb: str,
        source: deque[_Action],
        target: deque[_Action],
        run: Callable[[_Action], str | None],
    ) -> None:
        if self.locked:
            self.reported.emit(LOCKED)
        elif source and not self._busy:
            action = source.pop()
            target.append(action)
            self._busy = True
            try:
                message = run(action)
            finally:
                self._busy = False
            self.changed.emit()
            self.reported.emit(message or f"{verb}: {action.text}.")


class UndoButtons(QWidget):
    """Buttons for undo and redo, whose tooltips name the action."""

    def __init__(self, history: UndoHistory) -> None:
        super().__init__()
        self._history = history
        self.undo_button, self.redo_button = QPushButton("Undo"), QPushButton("Redo")
        self.undo_button.clicked.connect(history.undo)
        self.redo_button.clicked.connect(history.redo)
        pack(QHBoxLayout(self), self.undo_button, self.redo_button, spacing=3)
        history.changed.connect(self.refresh)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Update the buttons from the history."""
        history = self._history
        for button, key, text in (
            (self.undo_button, UNDO_KEY, history.undo_text),
            (self.redo_button, REDO_KEY, history.redo_text),
        ):
            button.setEnabled(bool(text) and not history.locked)
            verb = button.text()
            action = f"{verb}: {escape(text)}." if text else f"Nothing to {verb.lower()}."
            set_help(button, LOCKED if history.locked else f"{action} Key: {key}.")


def push_for_layer(layer: Layer, text: str, undo: Change, redo: Change) -> None:
    """Add an action on a layer to the history of the dock in its viewer, if one is open."""
    for history in list(_histories):
        if history.has_layer(layer):
            history.push(text, undo, redo)
