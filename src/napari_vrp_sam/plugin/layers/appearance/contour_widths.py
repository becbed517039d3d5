"""Contours of the same width on the screen at every zoom of the camera."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer

from napari_vrp_sam.plugin.layers.appearance.styles import fit_contours

if TYPE_CHECKING:
    import napari

PAUSE_MILLISECONDS = 100
"""Delay after the last turn of the wheel, because each new width redraws the layers."""


class ContourWidths(QObject):
    """Adapt the contours of the plugin's layers to the zoom; napari's are as wide as pixels."""

    def __init__(self, viewer: napari.viewer.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MILLISECONDS)
        self._timer.timeout.connect(self.refresh)
        self._camera = camera_of(viewer)
        self._camera.events.zoom.connect(self._on_zoom)
        viewer.layers.events.inserted.connect(self._on_zoom)

    def refresh(self) -> None:
        """Set the widths for the current zoom."""
        for layer in self._viewer.layers:
            if isinstance(layer, Labels):
                fit_contours(layer, self._camera.zoom)

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        self._timer.stop()
        self._camera.events.zoom.disconnect(self._on_zoom)
        self._viewer.layers.events.inserted.disconnect(self._on_zoom)

    def _on_zoom(self, _event: Any) -> None:
        self._timer.start()


def camera_of(viewer: napari.viewer.Viewer) -> Any:
    """Return the camera of a viewer."""
    return getattr(viewer, "scene", viewer).camera  # in the viewer itself before napari 0.9
