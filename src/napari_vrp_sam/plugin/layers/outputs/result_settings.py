"""Threshold and clean-up in the metadata of results, and of images whose session was opened."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels, Layer

from napari_vrp_sam.inference.objects.result_settings import ResultSettings
from napari_vrp_sam.plugin.layers.metadata import get_metadata, set_metadata

SETTINGS = "relabelling"
"""Metadata key of the settings of a result, as values that sessions can store."""
NEXT_RUN = "relabelling of the next run"
"""Metadata key of the settings that an opened session has for the next run, until they are used."""


def settings_of(layer: Labels) -> ResultSettings:
    """Return the settings by which the labels of a result were computed."""
    return ResultSettings.from_dict(get_metadata(layer, SETTINGS))


def store_settings(layer: Labels, settings: ResultSettings) -> None:
    """Store the settings of a result in its metadata."""
    set_metadata(layer, **{SETTINGS: settings.as_dict()})


def take_opened_settings(layer: Layer | None) -> ResultSettings | None:
    """Return the settings of a session that was opened with this layer; None the next time."""
    values: Any = None if layer is None else get_metadata(layer, NEXT_RUN)
    if values is None:
        return None
    set_metadata(layer, **{NEXT_RUN: None})
    return ResultSettings.from_dict(values)
