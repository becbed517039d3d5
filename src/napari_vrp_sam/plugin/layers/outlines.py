"""A Labels layer that outlines what a model makes of one frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from numpy.typing import NDArray

from napari_vrp_sam.plugin.layers.metadata import note, noted
from napari_vrp_sam.plugin.layers.stacks import (
    blank,
    channel_count,
    placement,
    spread_over_channels,
    stack_data,
)

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_vrp_sam.inference.frames import Frames

PREVIEW = "preview"
CONTOUR = 2
"""Width of the outlines: the image and a result stay to be seen."""


class FrameOutline:
    """Lies on an image, cannot be edited, and is neither an annotation nor a result.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    suffix : str
        What the layer is called, after the image's name.
    opacity : float
    """

    def __init__(self, viewer: napari.viewer.Viewer, suffix: str, opacity: float = 0.7) -> None:
        self._viewer = viewer
        self._suffix = suffix
        self._opacity = opacity
        self.layer: Labels | None = None

    @property
    def deleted(self) -> bool:
        """Whether the user has deleted the layer that was shown."""
        return self.layer is not None and self.layer not in self._viewer.layers

    def show(self, image: Image, frames: Frames, index: int, frame_labels: NDArray[Any]) -> None:
        """Outline labels, shape (Y, X), on one frame of an image.

        Raises
        ------
        InputError
            If there is no memory for labels of the whole stack.
        """
        labels = blank(frames.label_shape, frame_labels.dtype)
        labels[frames.position(index)] = frame_labels
        channels = channel_count(stack_data(image).shape, frames.axes)
        data = spread_over_channels(labels, frames.axes, channels)
        if self.layer is not None and not self.deleted and self.layer.data.shape == data.shape:
            self.layer.data = data
        else:
            self._add(image, data)

    def remove(self) -> None:
        """Show nothing."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _add(self, image: Image, data: Any) -> None:
        self.remove()  # that of another image
        layers = self._viewer.layers
        self.layer = Labels(data, name=f"{image.name} {self._suffix}", **placement(image))
        self.layer.contour = CONTOUR
        self.layer.opacity = self._opacity
        self.layer.editable = False
        note(self.layer, **{PREVIEW: True})
        active = layers.selection.active
        self._viewer.add_layer(self.layer)
        if active is not None and active in layers:
            layers.selection.active = active  # the user goes on drawing


def is_preview(layer: Any) -> bool:
    """Whether a layer shows a preview: neither an annotation nor a result."""
    return bool(noted(layer, PREVIEW))
