"""Colours of classes, the same in every layer; by default those of napari's labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.layers import Labels, Points, Shapes
from napari.utils.colormaps import DirectLabelColormap, label_colormap
from napari.utils.colormaps.standardize_color import transform_color

from napari_vrp_sam.annotations.labels import labels_in
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.metadata import (
    NOT_THIS,
    background_label,
    feature_class_ids,
    get_metadata,
)
from napari_vrp_sam.plugin.layers.results import is_result_layer
from napari_vrp_sam.plugin.layers.stacks import stack_data

NAPARI_LABEL_COLOURS = (49, 0.5)
"""Number and seed of the colours in a new Labels layer."""
HIGHEST_LABEL = 255
OTHER_LABELS_COLOUR = "gray"
NOT_THIS_COLOUR = "#e8e8e8"
"""Colour of "Not this", which is unlike the saturated colours of the classes."""
MAX_CLASSES = 32
"""Labels layers with more labels are taken to contain objects, not classes."""
MAX_SEARCHED_PIXELS = 2**26
"""Larger Labels layers are not searched for classes, which would block the window."""


def default_colour(number: int) -> str:
    """Return the colour, "#rrggbb", of a label in a new Labels layer, or of "Not this"."""
    if number == NOT_THIS:
        return NOT_THIS_COLOUR
    colour = label_colormap(*NAPARI_LABEL_COLOURS).map(number)
    red, green, blue = (round(255 * float(channel)) for channel in np.ravel(colour)[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"


def drawn_classes(layer: Labels | Points | Shapes) -> set[int]:
    """Return the class ids in a layer, without "Not this".

    Empty for a Labels layer that is lazy, very large, or contains objects instead of classes.
    """
    if isinstance(layer, Labels):
        found = _find_labels(layer, stop_after=MAX_CLASSES) or set()
        return found - {background_label(layer)} if len(found) <= MAX_CLASSES else set()
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
        layer.colormap = _class_colormap(colours)
        return
    try:
        class_ids = feature_class_ids(layer)
    except InputError:
        return
    if class_ids:
        rgba = transform_color([colours.get(c) or default_colour(c) for c in class_ids])
        if isinstance(layer, Points):
            layer.face_color = rgba
        else:
            layer.edge_color = rgba


def set_drawing_colour(layer: Points | Shapes, colour: str) -> None:
    """Set the colour of new points or shapes."""
    # Otherwise napari also changes the selection, which is the latest drawing.
    with layer.block_update_properties():
        if isinstance(layer, Points):
            layer.current_face_color = colour
        else:
            layer.current_edge_color = colour


def _class_colormap(colours: Mapping[int, str]) -> DirectLabelColormap:
    # Labels that are not listed classes are visible, too.
    labels = np.arange(1, HIGHEST_LABEL + 1)
    rgba = label_colormap(*NAPARI_LABEL_COLOURS).map(labels)
    color_dict: dict[int | None, Any] = {None: OTHER_LABELS_COLOUR, 0: "transparent"}
    color_dict.update(zip(labels.tolist(), rgba, strict=True))
    color_dict.update(colours.items())
    return DirectLabelColormap(color_dict=color_dict)


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
