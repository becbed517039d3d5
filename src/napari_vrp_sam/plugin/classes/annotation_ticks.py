"""Layers that may annotate an image, and the ticks that the user gives them for each image."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari.layers import Labels, Layer, Points, Shapes

from napari_vrp_sam.plugin.layers.annotations import ANNOTATION_LAYERS
from napari_vrp_sam.plugin.layers.belonging import image_of, user_images
from napari_vrp_sam.plugin.layers.colours import contains_objects
from napari_vrp_sam.plugin.layers.metadata import get_metadata, unwrap
from napari_vrp_sam.plugin.layers.outputs.objects import is_objects_layer
from napari_vrp_sam.plugin.layers.outputs.outlines import is_preview_layer
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

_ticks: weakref.WeakKeyDictionary[Layer, dict[Any, bool]] = weakref.WeakKeyDictionary()
"""Ticks of each layer by the unique id of the image, the same in all lists."""
_first_images: weakref.WeakKeyDictionary[Layer, Any] = weakref.WeakKeyDictionary()
"""Unique id of the chosen image when a layer was listed first; None without an image."""


def can_annotate(layer: Any) -> bool:
    """Return True for layers that the user draws in; an accepted frame makes a result teach."""
    added_by_run = is_preview_layer(layer) or is_result_layer(layer) or is_objects_layer(layer)
    return isinstance(layer, ANNOTATION_LAYERS) and not added_by_run


def note_layer(layer: Layer, image: Image | None) -> None:
    """Note the image that is chosen when a layer is listed for the first time."""
    _first_images.setdefault(unwrap(layer), _image_id(image))


def remember_tick(layer: Layer, image: Image | None, *, ticked: bool) -> None:
    """Keep the tick of a layer for an image."""
    _ticks.setdefault(unwrap(layer), {})[_image_id(image)] = ticked


def is_ticked(
    viewer: napari.viewer.Viewer,
    layer: Labels | Points | Shapes,
    image: Image | None,
    *,
    unique: bool,
) -> bool:
    """Return the tick of a layer for an image; `unique` if the layer fits no other image."""
    known = _ticks.get(unwrap(layer), {})
    ticked = known.get(_image_id(image), known.get(None))
    if ticked is not None:
        return ticked
    owned = image_of(viewer, layer) is not None or (unique and len(user_images(viewer)) > 1)
    if not owned and _first_images[unwrap(layer)] not in (None, _image_id(image)):
        return False  # annotates another image, even if that was deleted
    saved = get_metadata(layer, "ticked")
    if saved is not None:
        return bool(saved)
    # Hidden layers are often ground truth, and object labels are not classes.
    return bool(layer.visible) and not contains_objects(layer)


def _image_id(image: Image | None) -> Any:
    return image.unique_id if image is not None else None
