"""Conversion of layers to their stored form in a session, and back."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer, Points, Shapes
from napari.utils.colormaps import (
    AVAILABLE_COLORMAPS,
    CyclicLabelColormap,
    DirectLabelColormap,
    label_colormap,
)
from numpy.typing import NDArray

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.io.sessions.layers import DrawnPlanes, StoredLayer, StoredResult
from napari_vrp_sam.io.sessions.levels import read_levels
from napari_vrp_sam.io.sessions.values import json_copy
from napari_vrp_sam.plugin.layers.annotations import KIND_KEY
from napari_vrp_sam.plugin.layers.belonging import ANNOTATION_OF
from napari_vrp_sam.plugin.layers.metadata import METADATA_KEY, get_metadata, set_metadata
from napari_vrp_sam.plugin.layers.outputs.accepted import result_labels
from napari_vrp_sam.plugin.layers.outputs.kept_probabilities import (
    KeptProbabilities,
    keep_probabilities,
    kept_probabilities,
)
from napari_vrp_sam.plugin.layers.outputs.results import RESULT_OF
from napari_vrp_sam.plugin.layers.stacks import spread_over_channels, stack_data

LayerTuple = tuple[Any, dict[str, Any], str]
"""Data, keyword arguments and type of a layer, as napari's readers return them."""

COMMON_ATTRIBUTES = (
    "name", "opacity", "blending", "visible", "scale", "translate", "rotate", "shear", "affine",
    "axis_labels",
)  # fmt: skip
LAYER_ATTRIBUTES: dict[type[Layer], tuple[str, ...]] = {
    Image: ("rgb", "contrast_limits", "gamma", "interpolation2d", "rendering"),
    Labels: (),
    Points: ("ndim", "border_width_is_relative"),
    Shapes: ("ndim",),
}
ITEM_ATTRIBUTES: dict[type[Layer], tuple[str, ...]] = {
    Points: ("size", "symbol", "shown", "face_color", "border_color", "border_width"),
    Shapes: ("shape_type", "z_index", "face_color", "edge_color", "edge_width"),
}
"""Attributes with one value per point or shape."""
FEATURES = "features", "feature_defaults"
NUMERIC_KINDS = "biuf"
"""Kinds of dtypes whose values JSON represents exactly."""
NOTES = "notes"
"""Key of the plugin's metadata among the stored attributes."""
NAPARI_LABEL_COLOURS = (49, 0.5)
"""Number and seed of the colours in a new Labels layer."""
LEVELS = "probabilities in session"
"""Metadata key of the file of a result's probabilities, until they are read."""
PEN = "pen"
"""Metadata key of the drawing settings."""
DRAWING_SETTINGS: dict[type[Layer], tuple[str, ...]] = {
    Labels: ("selected_label", "brush_size", "contour", "n_edit_dimensions", "preserve_labels"),
    Points: (
        "current_size",
        "current_face_color",
        "current_border_color",
        "current_border_width",
    ),
    Shapes: ("current_edge_width", "current_edge_color", "current_face_color"),
}
"""Attributes that are not among the keyword arguments of a new layer."""


def image_attributes(image: Image) -> dict[str, Any]:
    """Return transform and appearance of an image layer."""
    colormap = image.colormap
    if colormap.name in AVAILABLE_COLORMAPS:
        return _attributes(image) | {"colormap": colormap.name}
    colours = {"name": colormap.name, "colors": colormap.colors, "controls": colormap.controls}
    return _attributes(image) | {"colormap": json_copy(colours)}


def stored_layer(layer: Labels | Points | Shapes, *, ticked: bool, kind: str) -> StoredLayer:
    """Return a copy of an annotation layer and its options in the annotation list."""
    attributes = _attributes(layer)
    attributes[NOTES] |= {"ticked": ticked, KIND_KEY: kind}
    if isinstance(layer, Labels):
        return StoredLayer("labels", DrawnPlanes.of(stack_data(layer)), attributes)
    attributes |= {name: _features_to_dict(getattr(layer, name)) for name in FEATURES}
    if isinstance(layer, Points):
        return StoredLayer("points", np.array(layer.data), attributes)
    return StoredLayer("shapes", [np.array(shape) for shape in layer.data], attributes)


def stored_result(layer: Labels, frames: Frames) -> StoredResult:
    """Return a copy of a result layer, with its probabilities if they are kept."""
    kept = kept_probabilities(layer)
    levels = None if kept is None else kept.store()
    labels = result_labels(layer, frames)
    return StoredResult(labels, frames.label_axes, _attributes(layer), levels)


def take_kept_levels(layer: Labels) -> None:
    """Keep the probabilities of a result that was opened from a session, once.

    Raises
    ------
    InputError
        If they cannot be read.
    """
    path = get_metadata(layer, LEVELS)
    if path is not None:
        set_metadata(layer, **{LEVELS: None})
        keep_probabilities(layer, KeptProbabilities.restore(read_levels(Path(path))))


def image_tuple(
    data: Any, attributes: Mapping[str, Any], metadata: Mapping[str, Any]
) -> LayerTuple:
    """Return the image layer of a session, with additional metadata."""
    options = _options(attributes)
    options["metadata"][METADATA_KEY] |= metadata
    return data, options, "image"


def layer_tuple(layer: StoredLayer, image_id: Any) -> LayerTuple:
    """Return an annotation layer of a session, for an image of this id."""
    options = _options(layer.attributes)
    options["metadata"][METADATA_KEY][ANNOTATION_OF] = image_id
    data = layer.data
    if isinstance(data, DrawnPlanes):
        return data.dense(), options, "labels"
    options |= {name: _features_from_dict(options[name]) for name in FEATURES}
    if len(data):
        return data, options, layer.kind
    # napari rejects empty lists of colours in an empty layer.
    item_attributes = {*ITEM_ATTRIBUTES[Points], *ITEM_ATTRIBUTES[Shapes]}
    return None, {name: options[name] for name in options.keys() - item_attributes}, layer.kind


def result_tuple(
    result: StoredResult,
    shape: tuple[int, ...],
    axes: str,
    image_id: Any,
    added: Mapping[str, Any],
) -> LayerTuple:
    """Return the result layer of a session for an image, with additional metadata."""
    options = _options(result.attributes)
    metadata = options["metadata"][METADATA_KEY]
    metadata |= added
    if isinstance(result.levels, Path):
        metadata[LEVELS] = str(result.levels)
    metadata[RESULT_OF] = image_id
    axes = metadata.get("axes", axes)  # the axes setting may have changed since the run
    return spread_over_channels(result.labels, axes, shape), options, "labels"


def restore_drawing_settings(layer: Layer) -> None:
    """Apply stored drawing settings once; the user may change them afterwards."""
    settings = get_metadata(layer, PEN)
    if not settings:
        return
    set_metadata(layer, **{PEN: None})
    # Otherwise napari also recolours the selection, which is the latest drawing.
    block = getattr(layer, "block_update_properties", contextlib.nullcontext)
    with block():
        for name, value in settings.items():
            setattr(layer, name, value)


def _attributes(layer: Layer) -> dict[str, Any]:
    _, state, _ = layer.as_layer_data_tuple()
    kind = next(kind for kind in LAYER_ATTRIBUTES if isinstance(layer, kind))
    names = *COMMON_ATTRIBUTES, *LAYER_ATTRIBUTES[kind], *ITEM_ATTRIBUTES.get(kind, ())
    attributes = {name: json_copy(state[name]) for name in names if name in state}
    attributes["units"] = [str(unit) for unit in layer.units]
    metadata: dict[str, Any] = {}
    attributes[NOTES] = metadata
    for key, value in layer.metadata.get(METADATA_KEY, {}).items():
        if key not in (RESULT_OF, ANNOTATION_OF):  # layer ids are not valid in other windows
            with contextlib.suppress(TypeError):
                metadata[key] = json_copy(value)
    if kind in DRAWING_SETTINGS:
        metadata[PEN] = {name: json_copy(getattr(layer, name)) for name in DRAWING_SETTINGS[kind]}
    if isinstance(layer, Labels):
        attributes["colours"] = _colormap_to_dict(layer.colormap)
    return attributes


def _options(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a layer."""
    options = dict(attributes)
    options["metadata"] = {METADATA_KEY: dict(options.pop(NOTES))}
    colours = options.pop("colours", None)
    if colours is not None:
        options["colormap"] = _colormap_from_dict(colours)
    return options


def _features_to_dict(features: Any) -> dict[str, Any]:
    """Convert the features of a layer, a data frame; other types than numbers become text."""
    columns = {}
    for name in features:
        column = np.asarray(features[name])
        if column.dtype.kind in NUMERIC_KINDS:
            columns[str(name)] = {"dtype": column.dtype.str, "values": json_copy(column)}
        else:
            values = [
                value if value is None or isinstance(value, bool | int | float) else str(value)
                for value in column.tolist()
            ]
            columns[str(name)] = {"dtype": "object", "values": values}
    return columns


def _features_from_dict(columns: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Restore the features of a layer."""
    return {
        name: np.array(column["values"], dtype=column["dtype"]) for name, column in columns.items()
    }


def _colormap_to_dict(
    colormap: CyclicLabelColormap | DirectLabelColormap,
) -> dict[str, Any] | None:
    """Convert the colormap of a Labels layer; None for napari's default."""
    if isinstance(colormap, DirectLabelColormap):
        return {"of": json_copy(dict(colormap.color_dict))}
    default = label_colormap(*NAPARI_LABEL_COLOURS)
    if default.seed == colormap.seed and np.array_equal(default.colors, colormap.colors):
        return None
    return {"cycle": json_copy(colormap.colors), "seed": json_copy(colormap.seed)}


def _colormap_from_dict(colours: Mapping[str, Any]) -> CyclicLabelColormap | DirectLabelColormap:
    """Restore the colormap of a Labels layer."""
    if "of" in colours:
        return DirectLabelColormap(color_dict=colours["of"])
    # napari inserts the background itself.
    return CyclicLabelColormap(colors=colours["cycle"], seed=colours["seed"], background_value=0)
