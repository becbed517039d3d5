"""Results that are hidden while the user draws, so that they do not cover the drawing."""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QObject

from napari_vrp_sam.plugin.layers.belonging import image_of
from napari_vrp_sam.plugin.layers.drawing import drawing_events
from napari_vrp_sam.plugin.layers.metadata import get_metadata, unwrap
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari
    from napari.layers import Layer

    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm


class HiddenResults(QObject):
    """Hide the results of the chosen image when an annotation is added or drawn.

    They come back before a run, when one of them is selected, or when an annotation layer is
    removed. Results that the user has shown by hand stay.

    The annotations, results and objects of other images are hidden too, because they would cover
    the chosen one, and come back with their image.
    """

    def __init__(self, viewer: napari.viewer.Viewer, form: SegmentForm, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._form = form
        self.locked = False
        self._busy = False
        # Weak references, so that deleted layers are freed.
        self._hidden: weakref.WeakSet[Layer] = weakref.WeakSet()
        self._kept: weakref.WeakSet[Layer] = weakref.WeakSet()
        self._followed: weakref.WeakSet[Layer] = weakref.WeakSet()
        self._of_others: weakref.WeakSet[Layer] = weakref.WeakSet()
        self._drawn: list[Layer] = []
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.layers.selection.events.active.connect(self._on_selected)
        form.annotation_list.changed.connect(self._watch)
        form.image_box.chosen.connect(self._on_image)
        self._follow_results()
        self._watch()

    def hide(self) -> None:
        """Hide the results, because the preview of another setting is to be seen."""
        self._hide()

    def restore(self) -> None:
        """Show the hidden results."""
        self._show(list(self._hidden))
        self._hidden.clear()

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.layers.selection.events.active.disconnect(self._on_selected)
        for layer in self._followed:
            layer.events.visible.disconnect(self._on_visible)
        self._disconnect_drawn()

    def _hide(self, _event: Any = None) -> None:
        """Hide the results, unless a run fills one or the user corrects one."""
        image = self._form.image_box.layer
        if self.locked or image is None:
            return
        active = self._viewer.layers.selection.active
        for layer in self._viewer.layers:
            hidden = layer.visible and is_result_layer(layer, image.unique_id)
            if hidden and layer != active and unwrap(layer) not in self._kept:
                with self._changing():
                    layer.visible = False
                self._hidden.add(unwrap(layer))

    def _show(self, layers: list[Layer]) -> None:
        for layer in layers:
            if layer in self._viewer.layers:
                with self._changing():
                    layer.visible = True

    @contextmanager
    def _changing(self) -> Iterator[None]:
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    def _on_image(self) -> None:
        """Hide what belongs to other images, and show what was hidden of the chosen one."""
        chosen = self._form.image_box.layer
        if chosen is None:
            return
        for layer in list(self._viewer.layers):
            image = None if isinstance(layer, Image) else image_of(self._viewer, layer)
            if image is chosen and unwrap(layer) in self._of_others:
                self._of_others.discard(unwrap(layer))
                self._show([layer])
            elif image not in (None, chosen) and layer.visible:
                self._of_others.add(unwrap(layer))
                with self._changing():
                    layer.visible = False

    def _on_inserted(self, event: Any) -> None:
        self._follow_results()
        # Layers of a session, which know whether they were ticked, are not being drawn.
        if get_metadata(event.value, "drawing") and get_metadata(event.value, "ticked") is None:
            self._hide()

    def _on_removed(self, event: Any) -> None:
        if get_metadata(event.value, "drawing"):
            self.restore()

    def _on_selected(self, _event: Any = None) -> None:
        active = unwrap(self._viewer.layers.selection.active)
        if active in self._hidden:
            self._hidden.discard(active)
            self._show([active])

    def _on_visible(self, event: Any) -> None:
        layer = event.source
        if self._busy:
            return
        self._hidden.discard(layer)
        if layer.visible:
            self._kept.add(layer)
        else:
            self._kept.discard(layer)

    def _follow_results(self) -> None:
        for layer in map(unwrap, self._viewer.layers):
            if is_result_layer(layer) and layer not in self._followed:
                layer.events.visible.connect(self._on_visible)
                self._followed.add(layer)

    def _watch(self) -> None:
        self._disconnect_drawn()
        annotations = self._form.annotation_list.annotations
        self._drawn = [annotation.layer for annotation in annotations]
        for layer in self._drawn:
            for emitter in drawing_events(layer):
                emitter.connect(self._hide)

    def _disconnect_drawn(self) -> None:
        for layer in self._drawn:
            for emitter in drawing_events(layer):
                emitter.disconnect(self._hide)
        self._drawn = []
