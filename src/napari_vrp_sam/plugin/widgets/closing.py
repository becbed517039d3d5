"""Tells a dock widget that its dock or its window closes."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget


class CloseWatcher(QObject):
    """Watches the dock and the window around a widget.

    Docks are only hidden when the user closes them, and hidden too when another tab is chosen; so
    the close event itself is what counts. A window may still refuse to close after its close
    event (napari asks for confirmation), so there the hiding counts that follows.

    Signals
    -------
    dock_closed : the dock was closed or removed; it may be opened again
    window_closed : the viewer is gone
    """

    dock_closed = Signal()
    window_closed = Signal()

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Look at the events of the widget, its dock and its window; let all pass."""
        widget = self.__dict__.get("_widget")
        if widget is None:  # PySide still calls while it takes this object apart
            return False
        kind = event.type()
        if watched is widget:
            if kind == QEvent.Type.Show:
                self._watch_around()
            elif kind == QEvent.Type.ParentChange and widget.parent() is None:
                self.dock_closed.emit()
        elif isinstance(watched, QMainWindow):
            # Minimising hides spontaneously.
            if kind == QEvent.Type.Hide and not event.spontaneous():
                self.window_closed.emit()
        elif kind == QEvent.Type.Close:
            self.dock_closed.emit()
        return False

    def _watch_around(self) -> None:
        parent = self._widget.parentWidget()
        while parent is not None:
            if isinstance(parent, QDockWidget | QMainWindow):
                parent.installEventFilter(self)
            parent = parent.parentWidget()
