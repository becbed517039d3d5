"""The preview: a Labels layer with dashed outlines of the prediction for one frame."""

from __future__ import annotations

from typing import Any

import napari
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.plugin.layers.appearance.styles import set_style
from napari_vrp_sam.plugin.layers.metadata import get_metadata, set_metadata
from napari_vrp_sam.plugin.layers.outputs.objects import CONTOUR_WIDTH
from napari_vrp_sam.plugin.layers.stacks import (
    add_inactive,
    allocate_zeros,
    placement,
    spread_over_channels,
    stack_data,
)

PREVIEW = "preview"


class FrameOutline:
    """A read-only layer on an image, named after the image with a suffix.

    Its labels are classes, with dashed outlines, or objects, with outlines in napari's colours.
    """

    def __init__(self, viewer: napari.viewer.Viewer, suffix: str, *, classes: bool = True) -> None:
        self._viewer = viewer
        self._suffix = suffix
        self._classes = classes
        self.layer: Labels | None = None
        self._visible = True

    @property
    def deleted(self) -> bool:
        """True if the user deleted the layer."""
        return self.layer is not None and self.layer not in self._viewer.layers

    def show(self, image: Image, frames: Frames, index: int, frame_labels: NDArray[Any]) -> None:
        """Outline labels, shape (Y, X), on one frame of an image.

        Raises
        ------
        InputError
            If there is not enough memory for labels of the whole stack.
        """
        labels = allocate_zeros(frames.label_shape, frame_labels.dtype)
        labels[frames.position(index)] = frame_labels
        data = spread_over_channels(labels, frames.axes, stack_data(image).shape)
        if self.layer is not None and not self.deleted and self.layer.data.shape == data.shape:
            self.layer.data = data
        else:
            self._add(image, data)

    def set_visible(self, *, visible: bool) -> None:
        """Show or hide the layer, now and when it is added again."""
        self._visible = visible
        if self.layer is not None:
            self.layer.visible = visible

    def remove(self) -> None:
        """Remove the layer."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _add(self, image: Image, data: Any) -> None:
        self.remove()  # the layer on another image
        self.layer = Labels(
            data,
            name=f"{image.name} {self._suffix}",
            opacity=1,
            visible=self._visible,
            **placement(image),
        )
        self.layer.editable = False
        set_metadata(self.layer, **{PREVIEW: True})
        if self._classes:
            set_style(self.layer, "dashed")
        else:
            self.layer.contour = CONTOUR_WIDTH
        add_inactive(self._viewer, self.layer)


def is_preview_layer(layer: Any) -> bool:
    """Return True if a layer shows a preview."""
    return bool(get_metadata(layer, PREVIEW))
