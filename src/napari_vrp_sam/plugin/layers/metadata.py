"""Metadata of the plugin in `layer.metadata`, which napari copies along with a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Layer

METADATA_KEY = "napari-vrp-sam"


def set_metadata(layer: Layer, **values: Any) -> None:
    """Add values to the plugin's metadata of a layer; existing keys are replaced."""
    layer.metadata[METADATA_KEY] = {**layer.metadata.get(METADATA_KEY, {}), **values}


def get_metadata(layer: Layer, key: str) -> Any:
    """Return a value of the plugin's metadata of a layer; None if it is not set."""
    return layer.metadata.get(METADATA_KEY, {}).get(key)
