"""The Labels layer of objects, with their table as its features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_vrp_sam.plugin.layers.metadata import note, noted
from napari_vrp_sam.plugin.layers.stacks import (
    channel_count,
    placement,
    spread_over_channels,
    stack_data,
)
from napari_vrp_sam.plugin.layers.transforms import bring_into_view, slice_in_view

if TYPE_CHECKING:
    import napari
    import pandas as pd
    from napari.layers import Layer

    from napari_vrp_sam.inference.objects.find import Objects

OBJECTS_OF = "objects of"
"""Unique id of the image: its name may change."""
OUTLINE = 2
"""Pixels; the classes beneath stay to be seen, and to be corrected."""


class NewObjects:
    """Where objects will be shown: all that is needed of the image, which may be gone by then."""

    def __init__(self, viewer: napari.viewer.Viewer, image: Image, axes: str) -> None:
        self._viewer = viewer
        self._axes = axes
        self._name = f"{image.name} objects"
        self._image_id = image.unique_id
        self._placement = placement(image)
        self._channels = channel_count(stack_data(image).shape, axes)

    def show(self, objects: Objects) -> Labels:
        """Add the layer above all others; earlier ones are kept, hidden."""
        viewer = self._viewer
        for layer in viewer.layers:
            if is_objects(layer, self._image_id):
                layer.visible = False
        # A new layer becomes the active one; the user may be drawing in another.
        active = viewer.layers.selection.active
        layer = Labels(
            spread_over_channels(objects.labels, self._axes, self._channels),
            name=self._name,
            features=features(objects.table),
            **self._placement,
        )
        layer.contour = OUTLINE
        note(layer, **{OBJECTS_OF: self._image_id, "axes": self._axes})
        viewer.add_layer(layer)
        if active is not None:
            viewer.layers.selection.active = active
        return layer


def is_objects(layer: Any, of: Any = None) -> bool:
    """Whether this layer shows objects; of that image, if an image's id is given."""
    image_id = noted(layer, OBJECTS_OF)
    return image_id is not None if of is None else image_id == of


def current_objects(viewer: napari.viewer.Viewer, image: Image | None) -> Labels | None:
    """The objects of an image that count: the active layer of them, else the topmost."""
    if image is None:
        return None
    layers = [layer for layer in viewer.layers if is_objects(layer, image.unique_id)]
    active = viewer.layers.selection.active
    return active if active in layers else layers[-1] if layers else None


def features(table: pd.DataFrame) -> pd.DataFrame:
    """A table of objects with a row for the background first.

    napari's table of features takes the number of a row for the label that it selects.
    """
    import pandas as pd

    background = {
        name: [np.nan if column.dtype.kind == "f" else 0] for name, column in table.items()
    }
    return pd.concat([pd.DataFrame(background).astype(table.dtypes), table], ignore_index=True)


def table_of(layer: Labels) -> pd.DataFrame:
    """The table of objects as it stands in a layer's features, edits and all."""
    rows = layer.features
    return rows[rows["index"] > 0] if "index" in rows else rows


def show_object(viewer: napari.viewer.Viewer, layer: Labels, number: int) -> None:
    """Move the viewer to a frame that shows an object, unless it is in view."""
    rows = layer.features
    rows = rows[rows["index"] == number] if "index" in rows else rows[:0]
    axes = noted(layer, "axes") or ""
    if number == 0 or rows.empty or layer.ndim != len(axes.replace("S", "")):
        return
    row = rows.iloc[0]
    here = np.round(layer.world_to_data(slice_in_view(layer, viewer.dims)))
    spans = {at: _span(row, axis) for at, axis in enumerate(axes) if axis in "TZ"}
    if not all(first <= here[at] <= last for at, (first, last) in spans.items()):
        bring_into_view(layer, viewer.dims, {at: first for at, (first, _) in spans.items()})


def pixel_size(layer: Layer, axes: str) -> tuple[dict[str, float], str]:
    """Size of a pixel along Y, X and Z where known, and its unit; no unit where it is not known."""
    units = dict(zip(axes, layer.units, strict=False))
    target = units["Y"]
    if target.dimensionless or str(target) == "pixel":
        return {}, ""
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    moves = [np.asarray(layer.data_to_world(step)) - origin for step in np.eye(layer.ndim)]
    steps = dict(zip(axes, np.linalg.norm(moves, axis=1), strict=False))
    sizes = {
        axis: float((steps[axis] * units[axis]).to(target).magnitude)
        for axis in "ZYX"
        if axis in units and units[axis].is_compatible_with(target)
    }
    name = f"{target:~}".replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")
    return (sizes, name) if {"Y", "X"} <= set(sizes) else ({}, "")


def _span(row: Any, axis: str) -> tuple[int, int]:
    return int(row[f"first_{axis.lower()}"]), int(row[f"last_{axis.lower()}"])
