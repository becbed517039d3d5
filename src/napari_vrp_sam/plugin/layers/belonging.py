"""Images that annotation layers belong to: by the plugin's metadata, otherwise by position."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from napari.layers import Image, Labels, Layer, Points, Shapes
from numpy.typing import NDArray

from napari_vrp_sam.plugin.layers.metadata import get_metadata, set_metadata
from napari_vrp_sam.plugin.layers.outputs.objects import OBJECTS_OF
from napari_vrp_sam.plugin.layers.outputs.probabilities import is_probability_layer
from napari_vrp_sam.plugin.layers.outputs.results import RESULT_OF
from napari_vrp_sam.plugin.layers.transforms import layer_map

if TYPE_CHECKING:
    from collections.abc import Sequence

ANNOTATION_OF = "annotation of"
"""Metadata key of the unique id of the image that a layer was added for."""
SESSION_ID = "token"
"""Metadata key of another id of an image, to which the layers of its session refer."""
SAME_PLACE = 0.95
"""Intersection over union above which a layer has the extent of an image."""


def user_images(viewer: napari.viewer.Viewer) -> list[Image]:
    """Return the image layers that the plugin did not add."""
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image) and not is_probability_layer(layer)
    ]


def assign_image(layer: Layer, image: Image) -> None:
    """Store the image that an annotation layer belongs to."""
    set_metadata(layer, **{ANNOTATION_OF: image.unique_id})


def image_of(viewer: napari.viewer.Viewer, layer: Layer | None) -> Image | None:
    """Return the image that a layer is or was made for by the plugin; None if not known."""
    images = user_images(viewer)
    if layer is None or layer in images:
        return layer
    for key in (ANNOTATION_OF, RESULT_OF, OBJECTS_OF):
        image_id = get_metadata(layer, key)
        for image in images:
            if image_id is not None and image_id in (
                image.unique_id,
                get_metadata(image, SESSION_ID),
            ):
                return image
    return None


def candidate_images(
    viewer: napari.viewer.Viewer, layer: Labels | Points | Shapes
) -> Sequence[Image]:
    """Return the images that a layer may annotate.

    This is the image that the layer was added for, or else the images that cover the same place; if
    there are none, those that overlap the layer; if there are none either, all images.
    """
    image = image_of(viewer, layer)
    if image is not None:
        return [image]
    images = user_images(viewer)
    if len(images) < 2:
        return images
    fits = [_fit(viewer, layer, image) for image in images]
    return [image for image, fit in zip(images, fits, strict=True) if fit == max(fits)]


def _fit(viewer: napari.viewer.Viewer, layer: Labels | Points | Shapes, image: Image) -> int:
    """Return 2 if a layer has the extent of an image, 1 if it overlaps the image, otherwise 0."""
    box = _box(layer)
    if np.isnan(box).any():  # an empty Points or Shapes layer
        return 1
    corners = [*itertools.product(*box.T)]
    mapped = layer_map(layer, image, viewer.dims)(corners)
    shared = min(layer.ndim, image.ndim)
    low, high = mapped.min(axis=0)[-shared:], mapped.max(axis=0)[-shared:]
    image_low, image_high = _box(image)[:, -shared:]
    common = np.minimum(high, image_high) - np.maximum(low, image_low)
    if isinstance(layer, Labels):
        intersection = np.prod(common.clip(min=0))
        union = np.prod(high - low) + np.prod(image_high - image_low) - intersection
        return 2 if intersection > SAME_PLACE * union else int(intersection > 0)
    return int((common >= 0).all())


def _box(layer: Layer) -> NDArray[Any]:
    """Return the lowest and the highest data coordinates, shape (2, ndim), with pixel borders."""
    box = np.array(layer.extent.data, dtype=np.float64)
    return np.add(box, [[-0.5], [0.5]]) if isinstance(layer, Image | Labels) else box
