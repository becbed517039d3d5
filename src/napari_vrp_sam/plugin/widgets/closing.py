"""Detection of a dock or window that the user closes."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget


class CloseWatcher(QObject):
    """Watch the dock and the window that contain a widget.

    Qt hides a dock both when it is closed and when another tab is selected, so only the close event
    is reliable. A window may stay open after its close event (napari asks for confirmation), so
    there the hide event is used.

    Signals
    -------
    dock_closed : ()
        The dock was closed or removed; it may be opened again.
    window_closed : ()
        The viewer was closed.
    """

    dock_closed = Signal()
    window_closed = Signal()

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Emit the signals; do not consume any event."""
        widget = self.__dict__.get("_widget")
        if widget is None:  # PySide still calls this during destruction
            return False
        kind = event.type()
        if watched is widget:
            if kind == QEvent.Type.Show:
                self._watch_parents()
            elif kind == QEvent.Type.ParentChange and widget.parent() is None:
                self.dock_closed.emit()
        elif isinstance(watched, QMainWindow):
            # Minimising is a spontaneous hide event.
            if kind == QEvent.Type.Hide and not event.spontaneous():
                self.window_closed.emit()
        elif kind == QEvent.Type.Close:
            self.dock_closed.emit()
        return False

    def _watch_parents(self) -> None:
        parent = self._widget.parentWidget()
        while parent is not None:
            if isinstance(parent, QDockWidget | QMainWindow):
                parent.installEventFilter(self)
            parent = parent.parentWidget()
