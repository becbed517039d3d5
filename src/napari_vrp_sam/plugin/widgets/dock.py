"""Base class of the dock widgets: layout, messages, keyboard navigation and closing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QFrame,
    QMainWindow,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.plugin.widgets.controls import MessageLabel
from napari_vrp_sam.plugin.widgets.focus.keyboard import TabNavigation
from napari_vrp_sam.plugin.widgets.section import Section

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.inference.runs.engine import Engine


MINIMUM_WIDTH = 224
"""Pixels that the controls have at least, so that a dock is not narrower than 240 pixels."""

PREFERRED_WIDTH = 288
"""Pixels of the controls in a dock that the user has not resized."""


class PluginDock(QWidget):
    """Scrolled column of widgets with a status message, whose runs use an engine.

    Subclasses call `_add_widgets`, and override `_abandon` and `_release`.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    engine : Engine, optional
        Default: a worker process of this dock.
    """

    def __init__(self, viewer: napari.viewer.Viewer, engine: Engine | None = None) -> None:
        super().__init__()
        self._viewer = viewer
        self._engine = engine if engine is not None else ProcessEngine()
        self.status = MessageLabel()
        self.scroll = ScrollColumn()
        self.scroll.column.setContentsMargins(2, 0, 1, 0)
        self.scroll.column.setSpacing(8)
        self.keyboard = TabNavigation(self, self.scroll.content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 6, 0, 6)
        layout.setSpacing(8)
        layout.addWidget(self.scroll)
        # napari lets docks with an expanding size policy use the whole height.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        closing = CloseWatcher(self)
        closing.dock_closed.connect(self._abandon)
        closing.window_closed.connect(self._release)

    def focusNextPrevChild(self, forward: bool) -> bool:  # noqa: FBT001, N802 # Qt's
        """Move the focus to the next or previous control in visual order."""
        return self.keyboard.step(forward=forward)

    def _add_widgets(self, *widgets: QWidget) -> None:
        for widget in widgets:
            self.scroll.column.addWidget(widget)
            if isinstance(widget, Section):
                widget.toggled.connect(partial(self.scroll.reveal, widget))
        self.scroll.column.addStretch(1)

    def _warn(self, message: str) -> None:
        self.status.show_message(message, "warning")
        show_warning(message)

    def _show_outcome(self, outcome: str, message: str) -> None:
        """Show how a run ended; see `WatchedRun.ended`."""
        if outcome == "refused":
            self._warn(message)
        elif outcome == "failed":
            self.status.show_message(message, "error")
            show_error(message)
        else:
            self.status.show_message(message)

    def _end_worker(self) -> None:
        if isinstance(self._engine, ProcessEngine):
            self._engine.close()

    def _abandon(self) -> None:
        """Stop all runs and do not touch any layer until the dock is opened again."""
        raise NotImplementedError

    def _release(self) -> None:
        """Abandon all runs and disconnect from the viewer, which is closing."""
        self._abandon()
        self.keyboard.release()


class ScrollColumn(QScrollArea):
    """Scroll area whose `content` has a `column` of controls; never too narrow for them."""

    def __init__(self) -> None:
        super().__init__()
        self.content = QWidget()
        self.column = QVBoxLayout(self.content)
        self.setWidget(self.content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._window_height = 0
        self._opened: Section | None = None
        self._reveal_later = QTimer(self)
        self._reveal_later.setSingleShot(True)
        self._reveal_later.timeout.connect(self._reveal)
        self.verticalScrollBar().valueChanged.connect(self._hold)

    def reveal(self, section: Section, opened: bool) -> None:  # noqa: FBT001 # Qt's signal
        """Scroll to the controls of a section that was opened, and at least to its title."""
        self._opened = section if opened else None
        self._reveal_later.start()  # when the controls have their places

    def _reveal(self) -> None:
        if self._opened is not None:
            self.ensureWidgetVisible(self._opened, 0, 0)
            self.ensureWidgetVisible(self._opened.toggleButton(), 0, 0)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Keep the controls in place if only the parts of the dock around them become smaller."""
        height = self.window().height()
        if height != self._window_height:
            self._window_height = height
            self._leave(0)
        else:
            self._hold()
        super().resizeEvent(event)

    def _hold(self, _value: int = 0) -> None:
        """Leave space below the controls, or Qt would scroll up to fill a larger view."""
        scrolled, view = self.verticalScrollBar().value(), self.viewport().size()
        column = self.column
        needed = max(column.totalMinimumSize().height(), column.totalHeightForWidth(view.width()))
        needed -= column.contentsMargins().bottom()
        self._leave(max(0, scrolled + view.height() - needed) if scrolled else 0)

    def _leave(self, space: int) -> None:
        margins = self.column.contentsMargins()
        if space != margins.bottom():
            self.column.setContentsMargins(margins.left(), margins.top(), margins.right(), space)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return a size that is wide enough for all controls and the scroll bar."""
        width = self.content.minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width()
        return QSize(max(width, MINIMUM_WIDTH), 120)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the preferred size of the controls."""
        wanted = self.content.sizeHint().expandedTo(self.minimumSizeHint())
        return wanted.expandedTo(QSize(PREFERRED_WIDTH, 0))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Update the outer layout when the controls need another width."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)


class CloseWatcher(QObject):
    """Signal that the dock around a widget was closed or removed, or that its window was closed.

    Qt hides a dock both when it is closed and when another tab is selected, so only the close event
    is reliable. A window may stay open after its close event (napari asks for confirmation), so
    there the hide event is used.
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
        else:
            removed = kind == QEvent.Type.ParentChange and watched.parent() is None
            closed = kind == QEvent.Type.Close or removed
            if closed and watched in self._parents():  # not moved to another dock before
                self.dock_closed.emit()
        return False

    def _watch_parents(self) -> None:
        for parent in self._parents():
            parent.installEventFilter(self)

    def _parents(self) -> list[QWidget]:
        parents = []
        parent = self._widget.parentWidget()
        while parent is not None:
            parents.append(parent)
            parent = parent.parentWidget()
        return parents
