"""Combo box of image layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import Signal

from napari_vrp_sam.plugin.layers.probabilities import is_probability_layer
from napari_vrp_sam.plugin.widgets.controls import NarrowComboBox

if TYPE_CHECKING:
    import napari


class ImageBox(NarrowComboBox):
    """Combo box of the viewer's image layers; emits `chosen` when the image changes."""

    chosen = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._layers: list[Image] = []
        self.currentIndexChanged.connect(lambda _: self.chosen.emit())
        self.refresh()

    @property
    def layer(self) -> Image | None:
        """Chosen image; None if there is none."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def refresh(self) -> None:
        """Update the list from the viewer; keep the choice, or choose the topmost image."""
        before = self.layer
        self._layers = [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Image) and not is_probability_layer(layer)
        ]
        blocked = self.blockSignals(True)  # noqa: FBT003
        self.clear()
        self.addItems([layer.name for layer in self._layers])
        self.setCurrentIndex(
            self._layers.index(before) if before in self._layers else len(self._layers) - 1
        )
        self.blockSignals(blocked)
        if self.layer is not before:
            self.chosen.emit()

    def choose(self, layer: Image) -> None:
        """Choose an image if it is in the list."""
        if layer in self._layers:
            self.setCurrentIndex(self._layers.index(layer))
