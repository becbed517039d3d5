"""Colours of classes: those of napari's labels unless chosen; the same in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.layers import Labels, Points, Shapes
from napari.utils.colormaps import DirectLabelColormap, label_colormap
from napari.utils.colormaps.standardize_color import transform_color

from napari_vrp_sam.annotations.labels import labels_in
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.annotations import class_ids
from napari_vrp_sam.plugin.layers.metadata import noted
from napari_vrp_sam.plugin.layers.results import is_result

NAPARI_LABEL_COLOURS = (49, 0.5)
"""Number and seed of the colours that a new Labels layer has."""
HIGHEST_LABEL = 255
OTHER_LABELS = "gray"
MANY = 32
"""A Labels layer with more labels than this shows objects, not classes."""
LARGE = 2**26
"""Labels layers of more pixels are not searched for classes: the window would wait for it."""


def default_colour(number: int) -> str:
    """The colour "#rrggbb" that a new Labels layer gives a label."""
    colour = label_colormap(*NAPARI_LABEL_COLOURS).map(number)
    red, green, blue = (round(255 * float(part)) for part in np.ravel(colour)[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"


def drawn_classes(layer: Labels | Points | Shapes) -> set[int]:
    """Numbers of the classes in a layer, as far as they can be told at once.

    None of a Labels layer that is lazy, very large, or shows many objects instead of classes.
    """
    if isinstance(layer, Labels):
        found = _labels_in(layer, most=MANY) or set()
        return found if len(found) <= MANY else set()
    try:
        return set(class_ids(layer))
    except InputError:  # the run will say what is wrong with them
        return set()


def has_class(layer: Labels | Points | Shapes, number: int) -> bool:
    """Whether something is drawn in a class, be it one of many; no, if that cannot be told."""
    if isinstance(layer, Labels):
        return number in (_labels_in(layer) or ())
    return number in drawn_classes(layer)


def takes_colours(layer: Labels | Points | Shapes) -> bool:
    """Whether colours of classes suit a layer: not if it may show many objects."""
    if not isinstance(layer, Labels) or is_result(layer) or noted(layer, "drawing"):
        return True
    found = _labels_in(layer, most=MANY)
    return found is not None and len(found) <= MANY


def shows_objects(layer: Labels | Points | Shapes) -> bool:
    """Whether a layer is known to have too many labels for classes."""
    if not isinstance(layer, Labels) or noted(layer, "drawing"):
        return False
    found = _labels_in(layer, most=MANY)
    return found is not None and len(found) > MANY


def show_colours(layer: Labels | Points | Shapes, colours: Mapping[int, str]) -> None:
    """Give what is drawn in a layer the colours of its classes."""
    if isinstance(layer, Labels):
        layer.colormap = _label_colours(colours)
        return
    try:
        numbers = class_ids(layer)
    except InputError:
        return
    if numbers:
        each = transform_color([colours.get(n) or default_colour(n) for n in numbers])
        if isinstance(layer, Points):
            layer.face_color = each
        else:
            layer.edge_color = each


def choose_colour(layer: Points | Shapes, colour: str) -> None:
    """Draw in this colour from now on."""
    # napari would give the colour to what is selected, that is to the last drawing, as well.
    with layer.block_update_properties():
        if isinstance(layer, Points):
            layer.current_face_color = colour
        else:
            layer.current_edge_color = colour


def _label_colours(colours: Mapping[int, str]) -> DirectLabelColormap:
    # A label that is no class of the list is to be seen all the same.
    numbers = np.arange(1, HIGHEST_LABEL + 1)
    rgba = label_colormap(*NAPARI_LABEL_COLOURS).map(numbers)
    shown: dict[int | None, Any] = {None: OTHER_LABELS, 0: "transparent"}
    shown.update(zip(numbers.tolist(), rgba, strict=True))
    shown.update(colours.items())
    return DirectLabelColormap(color_dict=shown)


def _labels_in(layer: Labels, *, most: int | None = None) -> set[int] | None:
    """Labels of a layer; None if it is too large to search, or not in memory.

    Having found more than `most`, it looks no further.
    """
    data: Any = layer.data[0] if layer.multiscale else layer.data
    if not isinstance(data, np.ndarray) or data.size > LARGE:
        return None
    found: set[int] = set()
    # Plane by plane: all of a stack at once would take its memory again.
    for lead in np.ndindex(*data.shape[:-2]):
        if most is not None and len(found) > most:
            break
        plane = data[lead]
        if plane.any():
            found |= {label for label in labels_in(plane) if label > 0}
    return found
