"""Undo and redo of the plugin's actions; brush strokes have napari's own undo."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QUndoCommand
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_vrp_sam.plugin.widgets.controls import ElidedButton, pack, set_help

try:
    from qtpy.QtGui import QUndoStack
except ImportError:  # Qt 5; QtPy moves the command only
    from qtpy.QtWidgets import QUndoStack

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


class _Action(QUndoCommand):
    def __init__(self, text: str, undo: Callable[[], None], redo: Callable[[], None]) -> None:
        super().__init__(text)
        self._undo, self._redo = undo, redo
        self._pushed = False

    def undo(self) -> None:
        self._undo()

    def redo(self) -> None:
        # A stack redoes what is pushed on it, but here the action was already done.
        if self._pushed:
            self._redo()
        self._pushed = True


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
        self._message = ""
        self._stack = QUndoStack(self)
        self._stack.setUndoLimit(LIMIT)
        _histories.add(self)

    @property
    def undo_text(self) -> str:
        """Name of the next action to undo; empty if there is none."""
        return self._stack.undoText()

    @property
    def redo_text(self) -> str:
        """Name of the next action to redo; empty if there is none."""
        return self._stack.redoText()

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
            self._stack.push(_Action(text, self._reporting(undo), self._reporting(redo)))
            self.changed.emit()

    def undo(self) -> None:
        """Undo the last action, unless the history is locked."""
        self._step("Undone", self.undo_text, self._stack.undo)

    def redo(self) -> None:
        """Redo the action that was undone last, unless the history is locked."""
        self._step("Redone", self.redo_text, self._stack.redo)

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
        self._stack.clear()

    def _step(self, verb: str, text: str, step: Callable[[], None]) -> None:
        if self.locked:
            self.reported.emit(LOCKED)
        elif text and not self._busy:
            self._message, self._busy = "", True
            try:
                step()
            finally:
                self._busy = False
            self.changed.emit()
            self.reported.emit(self._message or f"{verb}: {text}.")

    def _reporting(self, change: Change) -> Callable[[], None]:
        def run() -> None:
            self._message = change() or ""

        return run


class UndoButtons(QWidget):
    """Buttons for undo and redo, which name the action."""

    def __init__(self, history: UndoHistory) -> None:
        super().__init__()
        self._history = history
        self.undo_button, self.redo_button = ElidedButton(), ElidedButton()
        self.undo_button.clicked.connect(history.undo)
        self.redo_button.clicked.connect(history.redo)
        pack(QVBoxLayout(self), self.undo_button, self.redo_button, spacing=3)
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
