"""Events of layers that the user draws in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from napari.layers import Layer


def drawing_events(layer: Layer) -> list[Any]:
    """Return the events of drawing, erasing and changing classes."""
    names = ("paint", "labels_update", "data", "features")
    return [layer.events[name] for name in names if name in layer.events.emitters]


class EditWatch:
    """Call a function after each edit of any of these layers, until `release`.

    Parameters
    ----------
    layers : iterable of Layer
    edited : callable
    """

    def __init__(
        self, layers: Iterable[Layer] = (), edited: Callable[[], None] = lambda: None
    ) -> None:
        self._edited = edited
        self._emitters = [emitter for layer in layers for emitter in drawing_events(layer)]
        for emitter in self._emitters:
            emitter.connect(self._on_edit)

    def release(self) -> None:
        """Disconnect from the layers."""
        for emitter in self._emitters:
            emitter.disconnect(self._on_edit)
        self._emitters = []

    def _on_edit(self, _event: Any = None) -> None:
        self._edited()


class StrokeWatch(EditWatch):
    """Watch that also calls the function after strokes were undone or redone with napari's keys.

    Parameters
    ----------
    layers : iterable of Layer
    edited : callable
    """

    def __init__(
        self, layers: Iterable[Layer] = (), edited: Callable[[], None] = lambda: None
    ) -> None:
        self._layers = list(layers)
        super().__init__(self._layers, edited)
        self._undone = self._count_undone()
        for layer in self._layers:
            layer.events.set_data.connect(self._on_refreshed)

    def __bool__(self) -> bool:
        return bool(self._layers)

    def release(self) -> None:
        """Disconnect from the layers."""
        super().release()
        for layer in self._layers:
            layer.events.set_data.disconnect(self._on_refreshed)
        self._layers = []

    def _on_refreshed(self, _event: Any = None) -> None:
        undone = self._count_undone()
        if undone != self._undone:
            self._undone = undone
            self._on_edit()

    def _count_undone(self) -> list[int]:
        """Return the number of strokes of each layer that can be redone.

        napari undoes strokes without an event.
        """
        return [len(getattr(layer, "_redo_history", ())) for layer in self._layers]
