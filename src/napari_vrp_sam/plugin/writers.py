"""napari's File > Save Selected Layers for Labels layers: polygons, COCO, ROIs, OME-Zarr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Labels, Layer

from napari_vrp_sam.io.exports.export import export_format
from napari_vrp_sam.io.exports.options import ExportOptions
from napari_vrp_sam.plugin.layers.outputs.exporting import image_of, layer_stack


def write_labels_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a Labels layer in the format of another program, selected by the suffix of the path.

    Parameters
    ----------
    path : str
    data : array of integers
    attributes : dict
        Attributes of the layer, as napari gives them.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    layer = _shown_layer(data, attributes) or Layer.create(data, attributes, "labels")
    assert isinstance(layer, Labels)
    viewer = napari.current_viewer()
    image = None if viewer is None else image_of(layer, viewer.layers)
    export_format(Path(path)).write(Path(path), layer_stack(layer, image), ExportOptions())
    return [path]


def _shown_layer(data: Any, attributes: dict[str, Any]) -> Labels | None:
    """Return the layer itself, which knows its file and its image."""
    viewer = napari.current_viewer()
    for layer in viewer.layers if viewer is not None else ():
        named = isinstance(layer, Labels) and layer.name == attributes.get("name")
        if named and (layer.data is data or np.shape(layer.data) == np.shape(data)):
            return layer
    return None
