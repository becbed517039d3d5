"""Base class of the dock widgets: layout, messages, keyboard navigation and closing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_warning
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_vrp_sam.inference.runs.process import ProcessEngine
from napari_vrp_sam.plugin.widgets.closing import CloseWatcher
from napari_vrp_sam.plugin.widgets.controls import MessageLabel
from napari_vrp_sam.plugin.widgets.keyboard import TabNavigation
from napari_vrp_sam.plugin.widgets.scroll_column import ScrollColumn

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.inference.runs.engine import Engine


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
        self.scroll.column.setContentsMargins(3, 0, 3, 0)
        self.scroll.column.setSpacing(8)
        self.keyboard = TabNavigation(self, self.scroll.content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(5, 8, 3, 8)
        layout.setSpacing(8)
        layout.addWidget(self.scroll)
        self.setMinimumWidth(240)
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
