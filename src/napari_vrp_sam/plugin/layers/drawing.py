"""Events of layers that the user draws in."""

from __future__ import annotations

from typing import Any

from napari.layers import Layer


def drawing_events(layer: Layer) -> list[Any]:
    """Return the events of drawing, erasing and changing classes."""
    names = ("paint", "labels_update", "data", "features")
    return [layer.events[name] for name in names if name in layer.events.emitters]
