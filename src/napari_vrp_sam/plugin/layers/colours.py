"""Colours of classes, the same in every layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from napari.layers import Labels, Points, Shapes
from napari.utils.colormaps.standardize_color import transform_color

from napari_vrp_sam.annotations.label_questions import labels_in
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.appearance.palette import (
    NOT_THIS_COLOUR,
    casing_colour,
    default_colour,
)
from napari_vrp_sam.plugin.layers.appearance.styles import colour_classes
from napari_vrp_sam.plugin.layers.metadata import (
    background_label,
    feature_class_ids,
    get_metadata,
    label_meaning,
)
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer
from napari_vrp_sam.plugin.layers.stacks import stack_data

MAX_CLASSES = 32
"""Labels layers with more labels are taken to contain objects, not classes."""
MAX_SEARCHED_PIXELS = 2**26
"""Larger Labels layers are not searched for classes, which would block the window."""


def drawn_classes(layer: Labels | Points | Shapes) -> set[int]:
    """Return the class ids in a layer, without "Not this".

    Empty for a Labels layer that is lazy, very large, or contains objects instead of classes.
    """
    if isinstance(layer, Labels):
        meaning = label_meaning(layer)
        found = _find_labels(layer, stop_after=MAX_CLASSES) or set()
        found -= {meaning.background, meaning.ignore}
        if meaning.one_class:
            return {1} if found else set()
        return found if len(found) <= MAX_CLASSES else set()
    try:
        return set(feature_class_ids(layer)) - {background_label(layer)}
    except InputError:  # reported when a run starts
        return set()


def has_class(layer: Labels | Points | Shapes, class_id: int) -> bool:
    """Return True if a layer contains a class; False if it is lazy or very large."""
    if isinstance(layer, Labels):
        return class_id in (_find_labels(layer) or set()) - {background_label(layer)}
    return class_id in drawn_classes(layer)


def contains_objects(layer: Labels | Points | Shapes) -> bool | None:
    """Return True if a layer has too many labels for classes; None if that is unknown."""
    if not isinstance(layer, Labels) or is_result_layer(layer) or get_metadata(layer, "drawing"):
        return False
    found = _find_labels(layer, stop_after=MAX_CLASSES)
    return None if found is None else len(found) > MAX_CLASSES


def apply_class_colours(layer: Labels | Points | Shapes, colours: Mapping[int, str]) -> None:
    """Colour the labels, points or shapes of a layer by class."""
    background = background_label(layer)
    if background is not None:
        colours = {**colours, background: NOT_THIS_COLOUR}
    if isinstance(layer, Labels):
        colour_classes(layer, colours)
        return
    try:
        class_ids = feature_class_ids(layer)
    except InputError:
        return
    if class_ids:
        class_colours = [colours.get(c) or default_colour(c) for c in class_ids]
        rgba = transform_color(class_colours)
        if isinstance(layer, Points):
            layer.face_color = rgba
            if get_metadata(layer, "drawing"):
                layer.border_color = transform_color([casing_colour(c) for c in class_colours])
        else:
            layer.edge_color = rgba


def set_drawing_colour(layer: Points | Shapes, colour: str) -> None:
    """Set the colour of new points or shapes."""
    # Otherwise napari also changes the selection, which is the latest drawing.
    with layer.block_update_properties():
        if isinstance(layer, Points):
            layer.current_face_color = colour
            if get_metadata(layer, "drawing"):
                layer.current_border_color = casing_colour(colour)
        else:
            layer.current_edge_color = colour


def _find_labels(layer: Labels, *, stop_after: int | None = None) -> set[int] | None:
    """Return the labels of a layer, or None if it is lazy or too large to search.

    The search ends when more than `stop_after` labels are found.
    """
    data = stack_data(layer)
    if not isinstance(data, np.ndarray) or data.size > MAX_SEARCHED_PIXELS:
        return None
    found: set[int] = set()
    # Searching plane by plane limits the temporary memory.
    for lead in np.ndindex(*data.shape[:-2]):
        if stop_after is not None and len(found) > stop_after:
            break
        plane = data[lead]
        if plane.any():
            found |= {label for label in labels_in(plane) if label > 0}
    return found
