"""The class that is drawn next, in step with the active annotation layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels, Layer
from qtpy.QtWidgets import QSpinBox, QWidget

from napari_vrp_sam.plugin.annotation_layers import drawing_class, set_drawing_class
from napari_vrp_sam.plugin.layers import ANNOTATION_LAYERS

if TYPE_CHECKING:
    import napari


class ClassBox(QSpinBox):
    """Sets the class of the active layer's next drawing, and follows where it is set elsewhere."""

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._followed: Labels | None = None
        self.setRange(1, 255)
        self.valueChanged.connect(self._apply)
        viewer.layers.selection.events.active.connect(self._follow_active)
        self._follow_active()

    def release(self) -> None:
        """Let go of the viewer, which is closing."""
        self._viewer.layers.selection.events.active.disconnect(self._follow_active)
        self._follow_label_of(None)

    def _apply(self, class_id: int) -> None:
        layer = self._viewer.layers.selection.active
        if isinstance(layer, ANNOTATION_LAYERS) and drawing_class(layer) != class_id:
            set_drawing_class(layer, class_id)

    def _follow_active(self, _event: Any = None) -> None:
        layer = self._viewer.layers.selection.active
        self._follow_label_of(layer)
        if isinstance(layer, ANNOTATION_LAYERS):
            self._show_class(layer)

    def _follow_label_of(self, layer: Layer | None) -> None:
        if self._followed is not None:
            self._followed.events.selected_label.disconnect(self._label_selected)
        self._followed = layer if isinstance(layer, Labels) else None
        if self._followed is not None:
            self._followed.events.selected_label.connect(self._label_selected)

    def _label_selected(self, _event: Any = None) -> None:
        if self._followed is not None:
            self._show_class(self._followed)

    def _show_class(self, layer: Any) -> None:
        class_id = drawing_class(layer)
        # Label 0 erases: that is no class, and the choice stays.
        if class_id >= 1:
            self.setValue(class_id)
