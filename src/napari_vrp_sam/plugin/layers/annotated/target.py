"""The image that an annotation layer belongs to, seen from the layer."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np
from napari.components import Dims
from napari.layers import Image, Labels, Points, Shapes

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.plugin.layers.transforms import (
    Coordinates,
    displays_any_axis,
    layer_map,
    slice_in_view,
)
from napari_vrp_sam.wording import count

Reason = Literal["hidden", "outside", "without size"]
NOTES: dict[Reason, tuple[str, str]] = {
    "hidden": ("is hidden", "are hidden"),
    "outside": ("lies outside the image", "lie outside the image"),
    "without size": ("has no size, as after a click,", "have no size, as after a click,"),
}
"""Why annotations are not used, for one and for several."""


class ImageTarget:
    """The image in relation to one annotation layer.

    Attributes
    ----------
    unused : Counter
        Number of annotations that are not used, by the reason.
    used : int
        Number of annotations that are used.
    """

    def __init__(
        self, image: Image, frames: Frames, layer: Labels | Points | Shapes, dims: Dims
    ) -> None:
        self.frames = frames
        if displays_any_axis(image, dims, range(image.ndim - layer.ndim)):
            raise InputError(
                f"'{layer.name}' has fewer axes than '{image.name}' and applies to the frame in "
                "view, but the viewer displays several frames: switch to the 2-D display."
            )
        self.map = layer_map(layer, image, dims)
        self.names = f"'{layer.name}'", f"'{image.name}'"
        # Along axes that the image lacks, only the slice in view of a layer is used.
        self.extra_axes = max(layer.ndim - image.ndim, 0)
        self.view: Coordinates = np.asarray(layer.world_to_data(slice_in_view(layer, dims)))
        self.unused: Counter[Reason] = Counter()
        self.used = 0
        self._stacked = [axis in "TZ" for axis in frames.axes[: image.ndim - 2]]
        shared = min(layer.ndim, image.ndim)
        self._same_place = all(
            np.allclose(one[-shared:], other[-shared:])
            for one, other in ((layer.scale, image.scale), (layer.translate, image.translate))
        )

    def in_view(self, vertices: Coordinates) -> bool:
        """Return True if a drawing lies on the slice in view of the extra axes."""
        distance = abs(vertices[:, : self.extra_axes] - self.view[: self.extra_axes])
        return bool((distance <= 0.5).all())

    def frame(self, positions: Coordinates) -> int | None:
        """Return the index of the frame of mapped positions, shape (N, ndim); None if outside.

        Raises
        ------
        InputError
            If the positions lie on several frames.
        """
        lead = positions[:, :-2][:, self._stacked]
        centre = lead.mean(axis=0)
        if (abs(lead - centre) > 0.5).any():
            raise InputError(
                f"A shape in {self.names[0]} spans several frames, as if it was drawn in another "
                "view: draw it on one frame."
            )
        if not np.isfinite(centre).all():
            return None
        nearest = np.floor(centre + 0.5).astype(int)
        if (nearest < 0).any() or (nearest >= self.frames.lead_shape).any():
            return None
        return self.frames.index(nearest.tolist())

    def notes(self, noun: str) -> list[str]:
        """Return a sentence for each reason why annotations are not used.

        Raises
        ------
        InputError
            If all of them lie outside the image.
        """
        layer, image = self.names
        if self.unused["outside"] and not self.used:
            fix = (
                "move them into the image, or delete them"
                if self._same_place
                else "give the layer the scale and position of the image, or draw on the image"
            )
            raise InputError(f"The annotations in {layer} lie outside the image {image}: {fix}.")
        return [
            f"{count(number, noun)} of {layer} {NOTES[reason][number > 1]} and "
            f"{'is' if number == 1 else 'are'} not used."
            for reason, number in self.unused.items()
        ]
