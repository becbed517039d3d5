"""Undo and redo of what the plugin does; strokes of the brush keep napari's own."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QUndoCommand
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_vrp_sam.plugin.widgets.controls import set_help

try:
    from qtpy.QtGui import QUndoStack
except ImportError:  # Qt 5; QtPy moves the command for us, not the stack
    from qtpy.QtWidgets import QUndoStack

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

LIMIT = 30
"""Actions that can be undone: a layer that was taken out stays in memory until then."""
UNDO_KEY, REDO_KEY = "Ctrl+Alt+Z", "Ctrl+Alt+Shift+Z"
"""On the viewer, for all layers; napari undoes strokes with Ctrl+Z."""
LOCKED = "Undo waits until the run ends: cancel it, or let it finish."

Change = Callable[[], str | None]
"""Undoes or redoes; may return one sentence on what it left alone, and why."""

_histories: weakref.WeakSet[UndoHistory] = weakref.WeakSet()


class UndoHistory(QObject):
    """The actions of one panel, the last of which can be undone.

    Signals
    -------
    changed : there is another action to undo or to redo
    reported : (sentence,)
        What was undone or redone.
    """

    changed = Signal()
    reported = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._busy = False
        self._locked = False
        self._remark = ""
        self._stack = QUndoStack(self)
        self._stack.setUndoLimit(LIMIT)
        _histories.add(self)

    @property
    def undo_text(self) -> str:
        """The action that `undo` would undo; empty if there is none."""
        return self._stack.undoText()

    @property
    def redo_text(self) -> str:
        """The action that `redo` would do again; empty if there is none."""
        return self._stack.redoText()

    @property
    def locked(self) -> bool:
        """Whether a run is under way."""
        return self._locked

    def push(self, text: str, undo: Change, redo: Change) -> None:
        """Remember an action that was just done; nothing while another is undone or redone.

        Parameters
        ----------
        text : str
            The action as the user would call it, such as "accept frame 12".
        undo, redo : callable
            They may find that the user deleted or changed anything meanwhile.
        """
        if not self._busy:
            self._stack.push(_Action(text, self._heeding(undo), self._heeding(redo)))
            self.changed.emit()

    def undo(self) -> None:
        """Undo the last action."""
        self._step("Undone", self.undo_text, self._stack.undo)

    def redo(self) -> None:
        """Do again what was undone last."""
        self._step("Done again", self.redo_text, self._stack.redo)

    def lock(self, *, locked: bool) -> None:
        """Undo nothing while a run is under way: it relies on what it started from."""
        self._locked = locked
        self.changed.emit()

    def enable_keys(self, *, held: bool) -> None:
        """Listen to the keys, or no longer."""
        steps = {UNDO_KEY: self.undo, REDO_KEY: self.redo}
        for key, step in steps.items():
            # Not the method itself: napari would call it with the viewer.
            function = (lambda _viewer, step=step: step()) if held else None
            self._viewer.bind_key(key, function, overwrite=True)

    def sees(self, layer: Layer) -> bool:
        """Whether the viewer of this panel has a layer."""
        return layer in self._viewer.layers

    def release(self) -> None:
        """Let go of the viewer, which is closing, and of all layers."""
        _histories.discard(self)
        self.enable_keys(held=False)
        self._stack.clear()

    def _step(self, done: str, text: str, step: Callable[[], None]) -> None:
        if self._locked:
            self.reported.emit(LOCKED)
        elif text and not self._busy:
            self._remark, self._busy = "", True
            try:
                step()
            finally:
                self._busy = False
            self.changed.emit()
            self.reported.emit(self._remark or f"{done}: {text}.")

    def _heeding(self, change: Change) -> Callable[[], None]:
        def do() -> None:
            self._remark = change() or ""

        return do


class _Action(QUndoCommand):
    def __init__(self, text: str, undo: Callable[[], None], redo: Callable[[], None]) -> None:
        super().__init__(text)
        self._undo, self._redo = undo, redo
        self._pushed = False

    def undo(self) -> None:
        self._undo()

    def redo(self) -> None:
        # A stack does what is pushed on it; here it is done already.
        if self._pushed:
            self._redo()
        self._pushed = True


class UndoButtons(QWidget):
    """A button each to undo and to redo; their tooltips say what."""

    def __init__(self, history: UndoHistory, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._history = history
        self.undo_button, self.redo_button = QPushButton("Undo"), QPushButton("Redo")
        self.undo_button.clicked.connect(history.undo)
        self.redo_button.clicked.connect(history.redo)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.undo_button)
        layout.addWidget(self.redo_button)
        history.changed.connect(self.refresh)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Take over what can be undone and redone."""
        history = self._history
        for button, key, text in (
            (self.undo_button, UNDO_KEY, history.undo_text),
            (self.redo_button, REDO_KEY, history.redo_text),
        ):
            button.setEnabled(bool(text) and not history.locked)
            verb = button.text()
            what = f"{verb}: {escape(text)}." if text else f"Nothing to {verb.lower()}."
            set_help(button, LOCKED if history.locked else f"{what} Key: {key}.")


def push_for_layer(layer: Layer, text: str, undo: Change, redo: Change) -> None:
    """Remember an action on a layer in the panel beside it, if one is open."""
    for history in list(_histories):
        if history.sees(layer):
            history.push(text, undo, redo)
