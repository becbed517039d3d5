"""Combo box of image layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal

from napari_vrp_sam.plugin.layers.belonging import image_of, user_images
from napari_vrp_sam.plugin.widgets.controls import NarrowComboBox

if TYPE_CHECKING:
    import napari
    from napari.layers import Image


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
        """Update the list from the viewer; keep the choice, or choose the selected image.

        Without a selected image, the topmost one is chosen.
        """
        before = self.layer
        self._layers = user_images(self._viewer)
        selected = image_of(self._viewer, self._viewer.layers.selection.active)
        choice = next((image for image in (before, selected) if image in self._layers), None)
        blocked = self.blockSignals(True)  # noqa: FBT003
        self.clear()
        self.addItems([layer.name for layer in self._layers])
        self.setCurrentIndex(
            self._layers.index(choice) if choice is not None else len(self._layers) - 1
        )
        self.blockSignals(blocked)
        if self.layer is not before:
            self.chosen.emit()

    def choose(self, layer: Image) -> None:
        """Choose an image if it is in the list."""
        if layer in self._layers:
            self.setCurrentIndex(self._layers.index(layer))
