"""Undo of actions that add layers: new annotation layers, samples, sessions, results."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

import napari
from napari.layers import Layer

from napari_vrp_sam.plugin.layers.metadata import get_metadata, unwrap
from napari_vrp_sam.plugin.layers.outputs.probabilities import ProbabilityLayers
from napari_vrp_sam.plugin.layers.outputs.results import RESULT_OF, ResultLayer, is_result_layer

if TYPE_CHECKING:
    from napari_vrp_sam.plugin.widgets.undo import UndoHistory

LAYER_DELETED = "Nothing has changed, because the layer was deleted."


class AddedLayers:
    """Layers that an action added to the viewer.

    Layers in the viewer are referenced weakly, so that a layer that the user deletes is freed.
    """

    def __init__(self, viewer: napari.viewer.Viewer, layers: Iterable[Layer]) -> None:
        self._viewer = viewer
        self._added = [weakref.ref(unwrap(layer)) for layer in layers]
        self._removed: list[tuple[int, Layer]] = []
        self._active: Layer | None = None

    def remove(self) -> str | None:
        """Undo: remove the layers; return a message if the user has deleted them all."""
        layers = self._viewer.layers
        present = [layer for ref in self._added if (layer := ref()) is not None and layer in layers]
        self._removed = sorted(
            ((layers.index(layer), layer) for layer in present), key=lambda item: item[0]
        )
        active = layers.selection.active
        self._active = unwrap(active) if active in present else None
        for layer in present:
            layers.remove(layer)
        return None if present else LAYER_DELETED

    def restore(self) -> str | None:
        """Redo: insert the removed layers where they were."""
        layers = self._viewer.layers
        for index, layer in self._removed:
            if layer not in layers:
                layers.insert(min(index, len(layers)), layer)
        if self._active is not None:
            layers.selection.active = self._active
        self._added = [weakref.ref(layer) for _, layer in self._removed]
        self._removed, self._active = [], None
        return None


class RunRecord:
    """Changes that a run makes to the layers; create it before the run starts."""

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        result: ResultLayer,
        probabilities: ProbabilityLayers | None = None,
    ) -> None:
        self._viewer = viewer
        self._result = result
        self._probabilities = probabilities
        self._visible = [
            layer for layer in viewer.layers if is_result_layer(layer) and layer.visible
        ]

    def push(self, history: UndoHistory) -> None:
        """Add the finished run to the undo history, unless it has no result."""
        layer = self._result.layer
        viewer = self._viewer
        if layer is None or layer not in viewer.layers:
            return
        more = self._probabilities.layers if self._probabilities is not None else []
        added = AddedLayers(viewer, [layer, *more])
        hidden = [weakref.ref(layer) for layer in self._visible if not layer.visible]

        def show_earlier(*, visible: bool) -> None:
            for ref in hidden:
                earlier = ref()
                if earlier is not None and earlier in viewer.layers:
                    earlier.visible = visible

        def undo() -> str | None:
            # Before the removal, so that the panels find the earlier result visible.
            show_earlier(visible=True)
            return added.remove()

        def redo() -> str | None:
            show_earlier(visible=False)
            return added.restore()

        history.push("segment stack", undo, redo, image=get_metadata(layer, RESULT_OF))
