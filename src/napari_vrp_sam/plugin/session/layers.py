"""Layers of the window <-> what a session keeps of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer, Points, Shapes
from napari.utils.colormaps import AVAILABLE_COLORMAPS

from napari_vrp_sam.io.sessions.layers import DrawnPlanes, StoredLayer, StoredResult
from napari_vrp_sam.io.sessions.values import as_kept
from napari_vrp_sam.plugin.layers.accepted import result_labels
from napari_vrp_sam.plugin.layers.metadata import KEY, note, noted
from napari_vrp_sam.plugin.layers.results import RESULT_OF
from napari_vrp_sam.plugin.layers.stacks import channel_count, spread_over_channels
from napari_vrp_sam.plugin.session.values import (
    label_colours,
    stored_colours,
    stored_table,
    table,
)

if TYPE_CHECKING:
    from napari_vrp_sam.inference.frames import Frames

LayerTuple = tuple[Any, dict[str, Any], str]
"""Data, keyword arguments and type of a layer, as napari's readers return them."""

PLACE = (
    "name", "opacity", "blending", "visible", "scale", "translate", "rotate", "shear", "affine",
    "axis_labels",
)  # fmt: skip
LOOKS: dict[type[Layer], tuple[str, ...]] = {
    Image: ("rgb", "contrast_limits", "gamma", "interpolation2d", "rendering"),
    Labels: (),
    Points: ("ndim", "border_width_is_relative"),
    Shapes: ("ndim",),
}
OF_EACH: dict[type[Layer], tuple[str, ...]] = {
    Points: ("size", "symbol", "shown", "face_color", "border_color", "border_width"),
    Shapes: ("shape_type", "z_index", "face_color", "edge_color", "edge_width"),
}
"""What each point or shape has of its own."""
TABLES = "features", "feature_defaults"
PEN = "pen"
PENS: dict[type[Layer], tuple[str, ...]] = {
    Labels: ("selected_label", "brush_size", "contour", "n_edit_dimensions", "preserve_labels"),
    Points: ("current_size", "current_face_color", "current_border_color"),
    Shapes: ("current_edge_width", "current_edge_color", "current_face_color"),
}
"""What is drawn with next; napari takes these from a layer, but not when a layer is made."""


def image_attributes(image: Image) -> dict[str, Any]:
    """How an image lies and looks."""
    colormap = image.colormap
    known = colormap.name in AVAILABLE_COLORMAPS
    whole = {"name": colormap.name, "colors": colormap.colors, "controls": colormap.controls}
    return _attributes(image) | {"colormap": colormap.name if known else as_kept(whole)}


def stored_layer(layer: Labels | Points | Shapes, *, ticked: bool, sparse: bool) -> StoredLayer:
    """A copy of an annotation layer, and how it is chosen and read."""
    attributes = _attributes(layer)
    attributes["notes"] |= {"ticked": ticked, "sparse": sparse}
    if isinstance(layer, Labels):
        data = layer.data[0] if layer.multiscale else layer.data
        return StoredLayer("labels", DrawnPlanes.of(data), attributes)
    attributes |= {name: stored_table(getattr(layer, name)) for name in TABLES}
    if isinstance(layer, Points):
        return StoredLayer("points", np.array(layer.data), attributes)
    return StoredLayer("shapes", [np.array(shape) for shape in layer.data], attributes)


def stored_result(layer: Labels, frames: Frames) -> StoredResult:
    """A copy of a result, and what is noted of it."""
    return StoredResult(result_labels(layer, frames), frames.label_axes, _attributes(layer))


def image_tuple(data: Any, attributes: Mapping[str, Any], facts: Mapping[str, Any]) -> LayerTuple:
    """A layer for the image of a session, on which facts are noted."""
    options = _options(attributes)
    options["metadata"] = {KEY: {**options["metadata"][KEY], **facts}}
    return data, options, "image"


def layer_tuple(layer: StoredLayer) -> LayerTuple:
    """An annotation layer as it was."""
    options = _options(layer.attributes)
    data = layer.data
    if isinstance(data, DrawnPlanes):
        return data.dense(), options, "labels"
    options |= {name: table(options[name]) for name in TABLES}
    if len(data):
        return data, options, layer.kind
    # Of no drawings at all, napari takes no list of colours.
    each = {*OF_EACH[Points], *OF_EACH[Shapes]}
    return None, {name: options[name] for name in options.keys() - each}, layer.kind


def result_tuple(
    result: StoredResult, shape: tuple[int, ...], axes: str, image_id: Any
) -> LayerTuple:
    """The layer of a result, on an image of this shape, these axes and this id."""
    options = _options(result.attributes)
    notes = options["metadata"][KEY]
    notes[RESULT_OF] = image_id
    axes = notes.get("axes", axes)  # the user may have chosen others after the run
    data = spread_over_channels(result.labels, axes, channel_count(shape, axes))
    return data, options, "labels"


def take_up_pen(layer: Layer) -> None:
    """Draw in a layer as was drawn when it was saved; once, as it may be changed then."""
    pen = noted(layer, PEN)
    if not pen:
        return
    note(layer, **{PEN: None})
    labels = isinstance(layer, Labels)
    # napari would give colours to what is selected, that is to the last drawing, as well.
    with contextlib.nullcontext() if labels else layer.block_update_properties():
        for name, value in pen.items():
            setattr(layer, name, value)


def _attributes(layer: Layer) -> dict[str, Any]:
    _, state, _ = layer.as_layer_data_tuple()
    kind = next(kind for kind in LOOKS if isinstance(layer, kind))
    names = *PLACE, *LOOKS[kind], *OF_EACH.get(kind, ())
    attributes = {name: as_kept(state[name]) for name in names if name in state}
    attributes["units"] = [str(unit) for unit in layer.units]
    attributes["notes"] = _kept_notes(layer)
    if kind in PENS:
        attributes["notes"][PEN] = {name: as_kept(getattr(layer, name)) for name in PENS[kind]}
    if isinstance(layer, Labels):
        attributes["colours"] = stored_colours(layer.colormap)
    return attributes


def _kept_notes(layer: Layer) -> dict[str, Any]:
    """What is noted of a layer, but for what holds in this window alone."""
    notes = {}
    for fact, value in layer.metadata.get(KEY, {}).items():
        with contextlib.suppress(TypeError):
            notes[fact] = as_kept(value)
    return {fact: value for fact, value in notes.items() if fact != RESULT_OF}


def _options(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of a layer."""
    options = dict(attributes)
    options["metadata"] = {KEY: dict(options.pop("notes"))}
    if "colours" in options:
        colours = label_colours(options.pop("colours"))
        options |= {"colormap": colours} if colours is not None else {}
    return options
