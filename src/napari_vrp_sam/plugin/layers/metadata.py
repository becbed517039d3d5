"""What the plugin remembers about a layer, in the metadata that follow it when it is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Layer

KEY = "napari-vrp-sam"


def note(layer: Layer, **facts: Any) -> None:
    """Remember facts about a layer."""
    layer.metadata[KEY] = {**layer.metadata.get(KEY, {}), **facts}


def noted(layer: Layer, fact: str) -> Any:
    """A fact that was remembered, else None."""
    return layer.metadata.get(KEY, {}).get(fact)
