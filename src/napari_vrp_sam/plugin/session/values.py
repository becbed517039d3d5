"""Tables and colours of layers as plain values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap, label_colormap

from napari_vrp_sam.io.sessions.values import as_kept
from napari_vrp_sam.plugin.layers.colours import NAPARI_LABEL_COLOURS

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS = "biuf"
"""Kinds of dtype whose values JSON holds exactly."""


def stored_table(features: Any) -> dict[str, Any]:
    """The columns of features, a data frame; what is neither number nor text becomes text."""
    columns = {}
    for name in features:
        column = np.asarray(features[name])
        if column.dtype.kind in NUMBERS:
            columns[str(name)] = {"dtype": column.dtype.str, "values": as_kept(column)}
        else:
            values = [_value(value) for value in column.tolist()]
            columns[str(name)] = {"dtype": "object", "values": values}
    return columns


def table(columns: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Features as a layer takes them."""
    return {
        name: np.array(column["values"], dtype=column["dtype"]) for name, column in columns.items()
    }


def stored_colours(colormap: CyclicLabelColormap | DirectLabelColormap) -> dict[str, Any] | None:
    """The colours of a Labels layer; None for those of a new one."""
    if isinstance(colormap, DirectLabelColormap):
        return {"of": as_kept(dict(colormap.color_dict))}
    usual = label_colormap(*NAPARI_LABEL_COLOURS)
    same = usual.seed == colormap.seed and np.array_equal(usual.colors, colormap.colors)
    return None if same else {"cycle": as_kept(colormap.colors), "seed": as_kept(colormap.seed)}


def label_colours(
    colours: Mapping[str, Any] | None,
) -> CyclicLabelColormap | DirectLabelColormap | None:
    """The colours of a Labels layer as it takes them; None for those of a new one."""
    if colours is None:
        return None
    if "of" in colours:
        return DirectLabelColormap(color_dict=colours["of"])
    # napari puts the background in front by itself.
    return CyclicLabelColormap(colors=colours["cycle"], seed=colours["seed"], background_value=0)


def _value(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
