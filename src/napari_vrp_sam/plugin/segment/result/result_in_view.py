"""Check whether a result is in view, so that preview and annotation do not add contours to it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.appearance.styles import Style, set_style, style_of
from napari_vrp_sam.plugin.layers.frame_view import frame_in_view
from napari_vrp_sam.plugin.layers.metadata import get_metadata, unwrap
from napari_vrp_sam.plugin.layers.outputs.results import FRAMES_DONE, is_result_layer
from napari_vrp_sam.plugin.layers.stacks import frames_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm


class ResultInView(QObject):
    """Fill annotations without a contour while a result of the frame in view is visible.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    form : SegmentForm
    parent : QObject
    """

    changed = Signal(bool)
    """Emits True when a result comes into view, and False when it disappears."""

    def __init__(self, viewer: napari.viewer.Viewer, form: SegmentForm, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._form = form
        self._shown = False
        self._followed: weakref.WeakSet[Layer] = weakref.WeakSet()
        layers, dims = viewer.layers.events, viewer.dims.events
        self._emitters = [layers.inserted, layers.removed, dims.current_step, dims.ndisplay]
        for emitter in self._emitters:
            emitter.connect(self.refresh)
        form.image_box.chosen.connect(self.refresh)
        form.annotation_list.changed.connect(self._fit_annotations)
        self.refresh()

    def refresh(self, _event: Any = None) -> None:
        """Look for a visible result of the frame in view."""
        image = self._form.image_box.layer
        shown = False
        for layer in map(unwrap, self._viewer.layers):
            if not is_result_layer(layer):
                continue
            if layer not in self._followed:
                self._followed.add(layer)
                layer.events.visible.connect(self.refresh)
            shown = shown or (image is not None and self._shows(layer, image))
        if shown != self._shown:
            self._shown = shown
            self._fit_annotations()
            self.changed.emit(shown)

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        for emitter in self._emitters:
            emitter.disconnect(self.refresh)
        for layer in self._followed:
            layer.events.visible.disconnect(self.refresh)

    def _shows(self, layer: Labels, image: Image) -> bool:
        if not layer.visible or not is_result_layer(layer, image.unique_id):
            return False
        done = get_metadata(layer, FRAMES_DONE)
        try:
            frames = frames_of(image, get_metadata(layer, "axes"))
            index = frame_in_view(layer, frames, self._viewer.dims)
        except InputError:  # the result of other axes
            return True
        return index is None or done is None or index in done

    def _fit_annotations(self) -> None:
        styles: tuple[Style, Style] = "flat", "filled"
        style, other = styles if self._shown else reversed(styles)
        for row in self._form.annotation_list.rows:
            if isinstance(row.layer, Labels) and style_of(row.layer) == other:
                set_style(row.layer, style)
