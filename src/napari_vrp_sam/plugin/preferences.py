"""The plugin's page in napari's Preferences."""

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
INHERITED_ENVIRONMENT = {
    variable: os.environ.get(variable)
    for variable in (CACHE_VARIABLE, MIRROR_VARIABLE, OFFLINE_VARIABLE)
}
"""Values that apply if the preference is empty."""


class Preferences(QObject):
    """Apply the preferences to a form and to the environment, now and after each change.

    napari before 0.9 has no preferences of plugins; the form keeps its defaults there.

    Signals
    -------
    downloads_changed : ()
        Cache folder, mirror or offline mode changed, for processes that start from now on.
    """

    downloads_changed = Signal()

    def __init__(self, form: SegmentForm, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._setters = {
            "model": form.model_box.setCurrentText,
            "device": form.device_box.setCurrentText,
            "point_radius": form.radius_box.setValue,
            "tile": form.tile_box.setValue,
            "neighbours": form.neighbours_box.setChecked,
            "prompting": form.prompting_box.choose,
            "cache_folder": self._set_cache_folder,
            "mirror": lambda mirror: self._set_variable(MIRROR_VARIABLE, mirror.strip()),
            "offline": lambda offline: self._set_variable(OFFLINE_VARIABLE, "1" if offline else ""),
        }
        self._settings = _settings()
        if self._settings is not None:
            for name, setter in self._setters.items():
                setter(getattr(self._settings, name))
                self._settings.events[name].connect(self._on_change)

    def release(self) -> None:
        """Disconnect from napari's settings."""
        if self._settings is not None:
            for name in self._setters:
                self._settings.events[name].disconnect(self._on_change)

    def _on_change(self, event: Any) -> None:
        self._setters[event.type](event.value)

    def _set_cache_folder(self, folder: str) -> None:
        path = str(Path(folder).expanduser()) if folder.strip() else ""
        self._set_variable(CACHE_VARIABLE, path)

    def _set_variable(self, variable: str, preference: str) -> None:
        # Worker processes inherit the environment.
        value = preference or INHERITED_ENVIRONMENT[variable]
        if value == os.environ.get(variable):
            return
        if value is None:
            del os.environ[variable]
        else:
            os.environ[variable] = value
        self.downloads_changed.emit()


def set_preference(name: str, value: Any) -> None:
    """Store a preference; does nothing in napari before 0.9."""
    settings = _settings()
    if settings is not None and getattr(settings, name) != value:
        setattr(settings, name, value)


def get_preference(name: str, default: Any) -> Any:
    """Return a preference, or the default in napari before 0.9."""
    settings = _settings()
    return default if settings is None else getattr(settings, name)


def _settings() -> Any:
    """Return napari's evented model of the manifest's `configurations`, or None."""
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    try:
        return get_plugin_settings(PLUGIN).segmentation
    except KeyError:  # the plugin was disabled while its dock is open
        return None
