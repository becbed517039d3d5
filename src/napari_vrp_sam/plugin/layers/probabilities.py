"""Image layers that show how probable each class is in each pixel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
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

    from napari_vrp_sam.inference.frames import Frames

PROBABILITY_OF = "probability of class"


class Probabilities:
    """Probabilities of a stack in the making, in percent; a layer for each class.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    image : Image
        The layers lie exactly on it.
    frames : Frames
        Of the image.
    names : mapping of int to str
        Names of the K classes by their number.

    Raises
    ------
    InputError
        If there is no memory for those of the whole stack.
    """

    def __init__(
        self, viewer: napari.viewer.Viewer, image: Image, frames: Frames, names: Mapping[int, str]
    ) -> None:
        self._viewer = viewer
        self._image_name = image.name
        self._position = frames.position
        self._names = dict(sorted(names.items()))
        self._data = [blank(frames.label_shape, np.uint8, "Probabilities") for _ in names]
        channels = channel_count(stack_data(image).shape, frames.axes)
        self._shown = [spread_over_channels(data, frames.axes, channels) for data in self._data]
        self._placement = placement(image)
        self.layers: list[Image] = []

    def write(self, results: Iterable[tuple[int, NDArray[np.float32]]]) -> None:
        """Write the probabilities, shape (K, Y, X), of some frames, and show them in percent."""
        for index, probabilities in results:
            for data, of_class in zip(self._data, probabilities, strict=True):
                # Whole percent: a quarter of the memory, and easy to read.
                data[self._position(index)] = (100 * of_class).round()
        if not self.layers:
            self._add()
        for layer in self.layers:
            if layer in self._viewer.layers:
                layer.refresh(thumbnail=False, extent=False, highlight=False)

    def _add(self) -> None:
        selection = self._viewer.layers.selection
        active = selection.active
        for (class_id, name), data in zip(self._names.items(), self._shown, strict=True):
            layer = Image(
                data,
                name=f"{self._image_name} probability of {name} (%)",
                colormap="magma",
                blending="additive",
                contrast_limits=(0, 100),
                # On top of everything, it would hide the result.
                visible=False,
                **self._placement,
            )
            note(layer, **{PROBABILITY_OF: class_id})
            self._viewer.add_layer(layer)
            self.layers.append(layer)
        if active is not None and active in self._viewer.layers:
            selection.active = active


def is_probability(layer: Any) -> bool:
    """Whether a run made this image: it is none to segment by default."""
    return noted(layer, PROBABILITY_OF) is not None
