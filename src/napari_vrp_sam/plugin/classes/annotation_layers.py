"""New layers to annotate in: placed on the image, ready to draw, with a class for each drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from napari.layers import Image, Labels, Points, Shapes
from napari.utils.notifications import show_warning

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.annotations import CLASS_FEATURE, class_number
from napari_vrp_sam.plugin.layers.colours import choose_colour, default_colour
from napari_vrp_sam.plugin.layers.metadata import note
from napari_vrp_sam.plugin.layers.stacks import blank, placement
from napari_vrp_sam.plugin.layers.undo import AddedLayers
from napari_vrp_sam.plugin.widgets.undo import push_for_layer

if TYPE_CHECKING:
    import napari

Drawing = Literal["scribble", "mask", "point", "box"]
"""The kinds of annotation, as the user draws them."""


def new_annotation_layer(
    viewer: napari.viewer.Viewer, image: Image, drawing: Drawing, class_id: int = 1
) -> Labels | Points | Shapes:
    """Add an empty layer that lies exactly on the image, active and in drawing mode.

    Raises
    ------
    InputError
        If there is no memory for labels of the whole stack.
    """
    shape = image.data.shape[: image.ndim]  # without the colours; level 0 where multiscale
    side = min(shape[-2:])
    layer: Labels | Points | Shapes
    if drawing == "point":
        size = max(3.0, side / 50)
        layer = Points(None, ndim=image.ndim, name="points", size=size, **placement(image))
        mode = "add"
    elif drawing == "box":
        layer = Shapes(None, ndim=image.ndim, name="boxes", **placement(image))
        layer.current_edge_width = max(1.0, side / 200)
        layer.current_face_color = "transparent"
        mode = "add_rectangle"
    else:
        layer = Labels(blank(shape, np.uint8), name=f"{drawing}s", **placement(image))
        layer.brush_size = max(2, side // 50)
        mode = "paint"
    note(layer, drawing=drawing)
    set_drawing_class(layer, class_id)
    viewer.add_layer(layer)
    viewer.layers.selection.active = layer
    layer.mode = mode
    added = AddedLayers(viewer, [layer])
    push_for_layer(layer, f"new layer '{layer.name}'", added.take_out, added.put_back)
    return layer


def set_drawing_class(
    layer: Labels | Points | Shapes, class_id: int, colour: str | None = None
) -> None:
    """Choose the class of what is drawn next; its colour is that of labels unless given."""
    if isinstance(layer, Labels):
        layer.selected_label = class_id
        return
    if CLASS_FEATURE not in layer.features:
        layer.features = layer.features.assign(
            **{CLASS_FEATURE: np.ones(len(layer.data), dtype=int)}
        )
    layer.feature_defaults = {**layer.feature_defaults.iloc[0], CLASS_FEATURE: class_id}
    choose_colour(layer, colour or default_colour(class_id))


def drawing_class(layer: Labels | Points | Shapes) -> int:
    """The class of what is drawn next."""
    if isinstance(layer, Labels):
        return int(layer.selected_label)
    if CLASS_FEATURE not in layer.feature_defaults:
        return 1
    return class_number(layer.feature_defaults[CLASS_FEATURE].iloc[0], layer.name)


def image_to_annotate(viewer: napari.viewer.Viewer) -> Image | None:
    """The active image, else the topmost."""
    images = [layer for layer in viewer.layers if isinstance(layer, Image)]
    active = viewer.layers.selection.active
    return active if active in images else images[-1] if images else None


def annotate_with_scribbles(viewer: napari.viewer.Viewer) -> None:
    """Add a Labels layer for strokes on parts of the class; the rest stays unknown."""
    _annotate(viewer, "scribble")


def annotate_with_masks(viewer: napari.viewer.Viewer) -> None:
    """Add a Labels layer to fill every object of the class on a frame; the rest is background."""
    _annotate(viewer, "mask")


def annotate_with_points(viewer: napari.viewer.Viewer) -> None:
    """Add a Points layer to click on objects of the class."""
    _annotate(viewer, "point")


def annotate_with_boxes(viewer: napari.viewer.Viewer) -> None:
    """Add a Shapes layer to draw boxes around objects of the class."""
    _annotate(viewer, "box")


def _annotate(viewer: napari.viewer.Viewer, drawing: Drawing) -> None:
    image = image_to_annotate(viewer)
    if image is None:
        show_warning("Open an image first: annotations are drawn on one.")
        return
    try:
        new_annotation_layer(viewer, image, drawing)
    except InputError as mistake:
        show_warning(str(mistake))
