"""Undo of actions that add layers: new annotations, the sample, the result of a run."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari_vrp_sam.plugin.layers.results import Result, is_result

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from napari_vrp_sam.plugin.layers.probabilities import Probabilities
    from napari_vrp_sam.plugin.widgets.undo import UndoHistory

GONE = "There is nothing left to undo: the layer was deleted."


class AddedLayers:
    """Layers that an action added: taken out when it is undone, with all that is drawn in them.

    Only what is taken out is held: memory of a layer that the user deletes comes back.
    """

    def __init__(self, viewer: napari.viewer.Viewer, layers: Iterable[Layer]) -> None:
        self._viewer = viewer
        self._there = [weakref.ref(unwrapped(layer)) for layer in layers]
        self._out: list[tuple[int, Layer]] = []
        self._active: Layer | None = None

    def take_out(self) -> str | None:
        """Remove those that the user has not deleted."""
        layers = self._viewer.layers
        there = [layer for ref in self._there if (layer := ref()) is not None and layer in layers]
        self._out = sorted(((layers.index(layer), layer) for layer in there), key=lambda at: at[0])
        active = layers.selection.active
        self._active = unwrapped(active) if active in there else None
        for layer in there:
            layers.remove(layer)
        return None if there else GONE

    def put_back(self) -> str | None:
        """Insert what was taken out, where it was."""
        layers = self._viewer.layers
        for index, layer in self._out:
            if layer not in layers:
                layers.insert(min(index, len(layers)), layer)
        if self._active is not None:
            layers.selection.active = self._active
        # What the user deleted before stays deleted.
        self._there = [weakref.ref(layer) for _, layer in self._out]
        self._out, self._active = [], None
        return None


class RunRecord:
    """What a run changes in the viewer, from its start on, so that it can be undone."""

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        result: Result,
        probabilities: Probabilities | None = None,
    ) -> None:
        self._viewer = viewer
        self._result = result
        self._probabilities = probabilities
        self._shown = [layer for layer in viewer.layers if is_result(layer) and layer.visible]

    def push(self, history: UndoHistory) -> None:
        """Remember the run, which has ended; not if it came to nothing."""
        layer = self._result.layer
        if layer is None or layer not in self._viewer.layers:
            return
        viewer = self._viewer
        more = self._probabilities.layers if self._probabilities is not None else []
        added = AddedLayers(viewer, [layer, *more])
        hidden = [weakref.ref(layer) for layer in self._shown if not layer.visible]

        def show_earlier(*, visible: bool) -> None:
            for ref in hidden:
                earlier = ref()
                if earlier is not None and earlier in viewer.layers:
                    earlier.visible = visible

        def undo() -> str | None:
            # First, so that the panel finds the earlier result as the one in view.
            show_earlier(visible=True)
            return added.take_out()

        def redo() -> str | None:
            show_earlier(visible=False)
            return added.put_back()

        history.push("segment stack", undo, redo)


def unwrapped(layer: Layer) -> Layer:
    """The layer itself, which napari hands to plugins in a wrapper of its own."""
    return getattr(layer, "__wrapped__", layer)
