"""Image layers of class probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import napari
import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.plugin.layers.metadata import get_metadata, set_metadata
from napari_vrp_sam.plugin.layers.stacks import (
    ImageLayout,
    add_inactive,
    allocate_zeros,
)

PROBABILITY_OF = "probability of class"


class ProbabilityLayers:
    """Class probabilities of a stack as one layer per class, added with the first frames.

    `names` are the names of the K classes by class id.

    Raises
    ------
    InputError
        If there is not enough memory for the whole stack.
    """

    def __init__(
        self, viewer: napari.viewer.Viewer, image: Image, frames: Frames, names: Mapping[int, str]
    ) -> None:
        self._viewer = viewer
        self._layout = ImageLayout(image, frames.axes)
        self._frames = frames
        self._names = dict(sorted(names.items()))
        # Whole percentages need a quarter of the memory of floats.
        self._data = [allocate_zeros(frames.label_shape, np.uint8, "Probabilities") for _ in names]
        self.layers: list[Image] = []

    def write(self, results: Iterable[tuple[int, NDArray[np.float32]]]) -> None:
        """Write frames, given as index and probabilities of shape (K, Y, X), into the layers."""
        for index, probabilities in results:
            for data, class_probabilities in zip(self._data, probabilities, strict=True):
                data[self._frames.position(index)] = (100 * class_probabilities).round()
        if not self.layers:
            self._add_layers()
        for layer in self.layers:
            if layer in self._viewer.layers:
                layer.refresh(thumbnail=False, extent=False, highlight=False)

    def _add_layers(self) -> None:
        for (class_id, name), data in zip(self._names.items(), self._data, strict=True):
            layer = Image(
                self._layout.spread(data),
                name=f"{self._layout.name} probability of {name} (%)",
                colormap="magma",
                blending="additive",
                contrast_limits=(0, 100),
                visible=False,  # it would cover the result
                **self._layout.placement,
            )
            set_metadata(layer, **{PROBABILITY_OF: class_id})
            self.layers.append(layer)
        add_inactive(self._viewer, *self.layers)


def is_probability_layer(layer: Any) -> bool:
    """Return True if an image layer shows class probabilities of a run."""
    return get_metadata(layer, PROBABILITY_OF) is not None
