"""The dock of the plugin, whose tabs are "Segment stack" and "Fine-tune"."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QDockWidget, QSizePolicy, QTabWidget, QVBoxLayout, QWidget

from napari_vrp_sam.plugin.fine_tune.widget import FineTuneWidget
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget
from napari_vrp_sam.plugin.widgets.dock import PluginDock

if TYPE_CHECKING:
    import napari

TABS: dict[str, type[PluginDock]] = {
    "Segment stack": SegmentStackWidget,
    "Fine-tune": FineTuneWidget,
}
STYLE = """
QTabBar::tab { padding: 5px 10px; }
QTabWidget::pane { border: none; margin: 0; padding: 0; }
"""
"""napari's tabs are very low, and their frame takes some of the width."""


class Panel(QWidget):
    """Tabs that are made when they are shown first; one panel for each viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """

    instances: ClassVar[weakref.WeakSet[Panel]] = weakref.WeakSet()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self._made: dict[str, PluginDock] = {}
        self._dock: QDockWidget | None = None
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setUsesScrollButtons(False)
        self.tabs.setStyleSheet(STYLE)
        for title in TABS:
            page = QWidget()
            QVBoxLayout(page).setContentsMargins(0, 0, 0, 0)
            self.tabs.addTab(page, title)
        self.tabs.currentChanged.connect(self._make)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tabs)
        # As for each tab: napari lets docks with an expanding size policy use the whole height.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.instances.add(self)

    @property
    def current(self) -> PluginDock:
        """Content of the tab in front."""
        return self._made[self.tabs.tabText(self.tabs.currentIndex())]

    @property
    def segment(self) -> SegmentStackWidget:
        """Content of the tab "Segment stack", which comes to the front."""
        content = self.open("Segment stack")
        assert isinstance(content, SegmentStackWidget)
        return content

    @property
    def fine_tune(self) -> FineTuneWidget:
        """Content of the tab "Fine-tune", which comes to the front."""
        content = self.open("Fine-tune")
        assert isinstance(content, FineTuneWidget)
        return content

    def open(self, title: str) -> PluginDock:
        """Bring a tab to the front, and return its content."""
        self.tabs.setCurrentIndex(list(TABS).index(title))
        self._make()
        return self.current

    def event(self, event: QEvent) -> bool:
        """Remove the previous dock after napari has moved the panel to a new one."""
        if event.type() == QEvent.Type.ParentChange:
            self._follow_dock()
        return super().event(event)

    def _follow_dock(self) -> None:
        before, parent = self._dock, self.parentWidget()
        self._dock = parent if isinstance(parent, QDockWidget) else None
        if self._dock is None:
            self.instances.discard(self)  # closed: the next one starts anew
            return
        if before is self._dock:
            return
        title = self.tabs.tabText(self.tabs.currentIndex())
        self._dock.toggleViewAction().toggled.connect(partial(self._on_toggled, title))
        if before is not None:
            # Later, so that the new dock takes the place and the width of this one.
            QTimer.singleShot(0, lambda: self._remove(before))

    def _on_toggled(self, title: str, shown: bool) -> None:  # noqa: FBT001 # Qt's signal
        """Bring the tab of a command to the front when the command shows its hidden dock."""
        if shown and self._dock is self.sender().parent():
            self.open(title)

    def _remove(self, dock: QDockWidget) -> None:
        try:
            empty = dock.widget() is None
        except RuntimeError:  # deleted meanwhile
            return
        if empty:
            self.viewer.window.remove_dock_widget(dock)

    def _make(self, _index: int = 0) -> None:
        title = self.tabs.tabText(self.tabs.currentIndex())
        if title not in self._made:
            content = TABS[title](self.viewer)
            self._made[title] = content
            self.tabs.currentWidget().layout().addWidget(content)


def open_panel(viewer: napari.viewer.Viewer, title: str) -> Panel:
    """Return the panel of a viewer with a tab in front; make it if there is none."""
    for panel in list(Panel.instances):
        if _same(panel.viewer, viewer):
            panel.open(title)
            return panel
    panel = Panel(viewer)
    panel.open(title)
    return panel


def _same(first: napari.viewer.Viewer, second: napari.viewer.Viewer) -> bool:
    """Compare viewers without the proxies that napari passes to plugins."""
    return getattr(first, "__wrapped__", first) is getattr(second, "__wrapped__", second)


class SegmentStackDock(QWidget):
    """Open the panel with the tab "Segment stack"; napari calls this class to make its dock.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """

    def __new__(cls, viewer: napari.viewer.Viewer) -> Panel:
        """Return the panel."""
        return open_panel(viewer, "Segment stack")

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        """Never called; its signature tells napari that it has to pass the viewer."""


class FineTuneDock(QWidget):
    """Open the panel with the tab "Fine-tune"; napari calls this class to make its dock.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """

    def __new__(cls, viewer: napari.viewer.Viewer) -> Panel:
        """Return the panel."""
        return open_panel(viewer, "Fine-tune")

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        """Never called; its signature tells napari that it has to pass the viewer."""
