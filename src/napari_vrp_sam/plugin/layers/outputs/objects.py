"""The Labels layer of objects, with the table of objects as its features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from napari.layers import Image, Labels

from napari_vrp_sam.io.exports.tables import with_class_names
from napari_vrp_sam.plugin.layers.metadata import CLASSES, get_metadata, set_metadata
from napari_vrp_sam.plugin.layers.stacks import ImageLayout, add_inactive
from napari_vrp_sam.plugin.layers.transforms import bring_into_view, slice_in_view

if TYPE_CHECKING:
    import pandas as pd

    from napari_vrp_sam.inference.objects.find import Objects

OBJECTS_OF = "objects of"
"""Metadata key of the image's unique id; its name may change."""
CONTOUR_WIDTH = 2
"""Objects are shown as outlines in pixels, so that the classes below stay visible."""


def add_objects_layer(
    viewer: napari.viewer.Viewer,
    layout: ImageLayout,
    objects: Objects,
    classes: Iterable[dict[str, Any]] = (),
) -> Labels:
    """Add a layer of objects and hide earlier ones of the image.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    layout : ImageLayout
    objects : Objects
    classes : iterable of dict
        The classes as the metadata of the result has them, with their names.
    """
    for layer in viewer.layers:
        if is_objects_layer(layer, layout.image_id):
            layer.visible = False
    layer = Labels(
        layout.spread(objects.labels),
        name=f"{layout.name} objects",
        features=features_from_table(objects.table),
        **layout.placement,
    )
    layer.contour = CONTOUR_WIDTH
    known = {OBJECTS_OF: layout.image_id, "axes": layout.axes, CLASSES: list(classes)}
    set_metadata(layer, **known)
    add_inactive(viewer, layer)
    return layer


def is_objects_layer(layer: Any, image_id: Any = None) -> bool:
    """Return True if a layer shows objects, of the image with this id if given."""
    objects_of = get_metadata(layer, OBJECTS_OF)
    return objects_of is not None and image_id in (None, objects_of)


def current_objects(viewer: napari.viewer.Viewer, image: Image | None) -> Labels | None:
    """Return the objects layer of an image: the active one, else the topmost."""
    if image is None:
        return None
    layers = [layer for layer in viewer.layers if is_objects_layer(layer, image.unique_id)]
    active = viewer.layers.selection.active
    return active if active in layers else layers[-1] if layers else None


def features_from_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of objects preceded by a row for the background.

    napari's features table expects the features of label n in row n.
    """
    import pandas as pd

    background = {
        name: [np.nan if column.dtype.kind == "f" else 0] for name, column in table.items()
    }
    return pd.concat([pd.DataFrame(background).astype(table.dtypes), table], ignore_index=True)


def table_from_features(layer: Labels) -> pd.DataFrame:
    """Return the table of objects in the features of a layer, including the user's edits."""
    rows = layer.features
    return rows[rows["index"] > 0] if "index" in rows else rows


def named_table(layer: Labels) -> pd.DataFrame:
    """Return the table of objects with the names of the classes that have one."""
    table = table_from_features(layer)
    names = {item["number"]: item["name"] for item in get_metadata(layer, CLASSES) or []}
    return with_class_names(table, names)


def show_object(viewer: napari.viewer.Viewer, layer: Labels, label: int) -> None:
    """Move the viewer's sliders to the first frame of an object, unless it is in view."""
    rows = layer.features
    rows = rows[rows["index"] == label] if "index" in rows else rows[:0]
    axes = get_metadata(layer, "axes") or ""
    if label == 0 or rows.empty or layer.ndim != len(axes.replace("S", "")):
        return
    row = rows.iloc[0]
    position = np.round(layer.world_to_data(slice_in_view(layer, viewer.dims)))
    extents = {
        i: (int(row[f"first_{axis.lower()}"]), int(row[f"last_{axis.lower()}"]))
        for i, axis in enumerate(axes)
        if axis in "TZ"
    }
    if not all(first <= position[i] <= last for i, (first, last) in extents.items()):
        bring_into_view(layer, viewer.dims, {i: first for i, (first, _) in extents.items()})
