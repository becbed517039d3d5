"""Labels layers as exports take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
from napari.layers import Image, Labels

from napari_vrp_sam.inference.exporting import labelled_stack
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.io.exports.labelled_stack import LabelledStack
from napari_vrp_sam.io.metadata import StoredImage
from napari_vrp_sam.plugin.layers.calibration import image_metadata, image_source
from napari_vrp_sam.plugin.layers.metadata import CLASSES, get_metadata
from napari_vrp_sam.plugin.layers.outputs.accepted import result_labels
from napari_vrp_sam.plugin.layers.outputs.objects import OBJECTS_OF, table_from_features
from napari_vrp_sam.plugin.layers.outputs.results import CONFIDENCE, RESULT_OF
from napari_vrp_sam.plugin.layers.stacks import frames_of, stack_data


def layer_stack(layer: Labels, image: Image | None, *, pictures: bool = False) -> LabelledStack:
    """Return a copy of the labels of a layer, with their image, for an export.

    Parameters
    ----------
    layer : Labels
        Result, objects, or any other labels.
    image : Image, optional
        The labelled image.
    pictures : bool
        Whether pictures of the frames are needed.

    Raises
    ------
    InputError
        If labels and image do not fit.
    """
    axes = get_metadata(layer, "axes")
    if image is None:
        shape = stack_data(layer).shape
        frames = Frames(stack_data(layer), axes if len(axes or "") == len(shape) else None)
        stored: Any = None
        metadata = image_metadata(layer, frames.axes)
    else:
        frames = frames_of(image, axes)
        metadata = image_metadata(image, frames.axes)
        stored = StoredImage(stack_data(image), frames.axes, metadata)
    names = {item["number"]: item["name"] for item in get_metadata(layer, CLASSES) or []}
    is_objects = get_metadata(layer, OBJECTS_OF) is not None
    return labelled_stack(
        result_labels(layer, frames),
        stored,
        axes=frames.label_axes if image is None else None,
        metadata=metadata,
        table=table_from_features(layer) if is_objects and "class" in layer.features else None,
        objects=is_objects,
        class_names=names,
        confidence=get_metadata(layer, CONFIDENCE),
        pictures=pictures,
        contrast_limits=None if image is None or image.rgb else tuple(image.contrast_limits),
        name=layer_name(image or layer),
    )


def layer_name(layer: Image | Labels) -> str:
    """Return the name of the file of a layer without suffixes, or that of the layer."""
    return (image_source(layer) or Path(layer.name)).name.split(".")[0]


def image_of(layer: Labels, layers: napari.components.LayerList) -> Image | None:
    """Return the image that a result or objects belong to, if it is among the layers."""
    unique_id = get_metadata(layer, RESULT_OF) or get_metadata(layer, OBJECTS_OF)
    images = [one for one in layers if isinstance(one, Image) and one.unique_id == unique_id]
    return images[0] if images else None
