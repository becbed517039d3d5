"""What the user set on the plugin's page of napari's Preferences."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_vrp_sam.models.weights.downloads import (
    CACHE_VARIABLE,
    MIRROR_VARIABLE,
    OFFLINE_VARIABLE,
)

if TYPE_CHECKING:
    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm

PLUGIN = "napari-vrp-sam"
FROM_OUTSIDE = {
    variable: os.environ.get(variable)
    for variable in (CACHE_VARIABLE, MIRROR_VARIABLE, OFFLINE_VARIABLE)
}
"""What counts where the preference is empty."""


class Preferences(QObject):
    """Carries the preferences into a form, at once and whenever one is changed.

    Napari before 0.9 has no such page: there the form keeps what it starts with.

    Signals
    -------
    downloads_changed : ()
        Processes that are started from now on keep downloads in another folder, get them from
        another place, or not at all.
    """

    downloads_changed = Signal()

    def __init__(self, form: SegmentForm, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._takers = {
            "model": form.model_box.setCurrentText,
            "device": form.device_box.setCurrentText,
            "point_radius": form.radius_box.setValue,
            "tile": form.tile_box.setValue,
            "cache_folder": self._use_cache_folder,
            "mirror": lambda mirror: self._set(MIRROR_VARIABLE, mirror.strip()),
            "offline": lambda offline: self._set(OFFLINE_VARIABLE, "1" if offline else ""),
        }
        self._settings = _settings()
        if self._settings is not None:
            for name, take in self._takers.items():
                take(getattr(self._settings, name))
                self._settings.events[name].connect(self._follow)

    def release(self) -> None:
        """Let go of napari's settings."""
        if self._settings is not None:
            for name in self._takers:
                self._settings.events[name].disconnect(self._follow)

    def _follow(self, event: Any) -> None:
        self._takers[event.type](event.value)

    def _use_cache_folder(self, folder: str) -> None:
        self._set(CACHE_VARIABLE, str(Path(folder).expanduser()) if folder.strip() else "")

    def _set(self, variable: str, preferred: str) -> None:
        # The environment reaches the process that does the work, too.
        wanted = preferred or FROM_OUTSIDE[variable]
        if wanted == os.environ.get(variable):
            return
        if wanted is None:
            del os.environ[variable]
        else:
            os.environ[variable] = wanted
        self.downloads_changed.emit()


def preferred(name: str, otherwise: Any) -> Any:
    """What is set on the page now; napari before 0.9 has none."""
    settings = _settings()
    return otherwise if settings is None else getattr(settings, name)


def _settings() -> Any:
    """The evented model that napari makes of the manifest's `configurations`, if it does."""
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    try:
        return get_plugin_settings(PLUGIN).segmentation
    except KeyError:  # the plugin was switched off, and its dock is still open
        return None
