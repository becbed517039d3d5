"""Conversion of features and colormaps of layers to values for JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap, label_colormap

from napari_vrp_sam.io.sessions.values import json_copy
from napari_vrp_sam.plugin.layers.colours import NAPARI_LABEL_COLOURS

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMERIC_KINDS = "biuf"
"""Kinds of dtypes whose values JSON represents exactly."""


def features_to_dict(features: Any) -> dict[str, Any]:
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


def features_from_dict(columns: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Restore the features of a layer."""
    return {
        name: np.array(column["values"], dtype=column["dtype"]) for name, column in columns.items()
    }


def colormap_to_dict(
    colormap: CyclicLabelColormap | DirectLabelColormap,
) -> dict[str, Any] | None:
    """Convert the colormap of a Labels layer; None for napari's default."""
    if isinstance(colormap, DirectLabelColormap):
        return {"of": json_copy(dict(colormap.color_dict))}
    default = label_colormap(*NAPARI_LABEL_COLOURS)
    if default.seed == colormap.seed and np.array_equal(default.colors, colormap.colors):
        return None
    return {"cycle": json_copy(colormap.colors), "seed": json_copy(colormap.seed)}


def colormap_from_dict(colours: Mapping[str, Any]) -> CyclicLabelColormap | DirectLabelColormap:
    """Restore the colormap of a Labels layer."""
    if "of" in colours:
        return DirectLabelColormap(color_dict=colours["of"])
    # napari inserts the background itself.
    return CyclicLabelColormap(colors=colours["cycle"], seed=colours["seed"], background_value=0)
