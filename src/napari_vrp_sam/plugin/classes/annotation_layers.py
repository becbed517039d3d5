"""New annotation layers, aligned with the image and ready to draw the chosen class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Points, Shapes
from napari.utils.notifications import show_warning

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.appearance.contour_widths import camera_of
from napari_vrp_sam.plugin.layers.appearance.palette import default_colour
from napari_vrp_sam.plugin.layers.appearance.styles import fit_contours, set_style
from napari_vrp_sam.plugin.layers.belonging import assign_image, image_of, user_images
from napari_vrp_sam.plugin.layers.colours import has_class, set_drawing_colour
from napari_vrp_sam.plugin.layers.metadata import (
    BACKGROUND_LABEL,
    CLASS_FEATURE,
    NOT_THIS,
    background_label,
    get_metadata,
    mark_background,
    parse_class_id,
    set_metadata,
)
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer
from napari_vrp_sam.plugin.layers.stacks import allocate_zeros, placement
from napari_vrp_sam.plugin.layers.undo import AddedLayers
from napari_vrp_sam.plugin.widgets.undo import push_for_layer

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.annotations.reference import AnnotationKind


POINT_CASING = 0.15
"""Width of the casing of a point, relative to its size."""


MODES = {"point": "add", "box": "add_rectangle"}
"""Drawing tools of layers that are not painted."""


def open_annotation_layer(
    viewer: napari.viewer.Viewer, image: Image, kind: AnnotationKind, class_id: int = 1
) -> Labels | Points | Shapes:
    """Return to the layer that was added for drawings of a kind on an image, or add one.

    Raises
    ------
    InputError
        If labels of the whole stack do not fit into memory.
    """
    for layer in reversed(viewer.layers):
        if get_metadata(layer, "drawing") != kind or image_of(viewer, layer) is not image:
            continue
        try:
            set_drawing_class(layer, class_id)
        except InputError:  # its value is taken: the class needs another layer
            continue
        layer.visible = True
        viewer.layers.selection.active = layer
        layer.mode = MODES.get(kind, "paint")
        return layer
    return new_annotation_layer(viewer, image, kind, class_id)


def new_annotation_layer(
    viewer: napari.viewer.Viewer, image: Image, kind: AnnotationKind, class_id: int = 1
) -> Labels | Points | Shapes:
    """Add an empty layer with the image's transform, make it active and choose its drawing tool.

    Raises
    ------
    InputError
        If labels of the whole stack do not fit into memory.
    """
    shape = image.data.shape[: image.ndim]  # without RGB; level 0 of a multiscale image
    side = min(shape[-2:])
    layer: Labels | Points | Shapes
    if kind == "point":
        size = max(3.0, side / 50)
        layer = Points(
            None,
            ndim=image.ndim,
            name="points",
            size=size,
            border_width=POINT_CASING,
            **placement(image),
        )
    elif kind == "box":
        layer = Shapes(None, ndim=image.ndim, name="boxes", **placement(image))
        layer.current_edge_width = max(1.0, side / 200)
        layer.current_face_color = "transparent"
    else:
        layer = Labels(
            allocate_zeros(shape, np.uint8), name=f"{kind}s", opacity=1, **placement(image)
        )
        set_style(layer, "filled")
        fit_contours(layer, camera_of(viewer).zoom)
        layer.brush_size = max(2, side // 50)
    set_metadata(layer, drawing=kind)
    assign_image(layer, image)
    set_drawing_class(layer, class_id)
    viewer.add_layer(layer)
    viewer.layers.selection.active = layer
    layer.mode = MODES.get(kind, "paint")
    added = AddedLayers(viewer, [layer])
    push_for_layer(layer, f"add layer '{layer.name}'", added.remove, added.restore)
    return layer


def set_drawing_class(
    layer: Labels | Points | Shapes, class_id: int, colour: str | None = None
) -> None:
    """Set the class of new drawings; default colour: that of the label in a Labels layer.

    In a result, where label 0 is background, "Not this" erases.

    Raises
    ------
    InputError
        If the layer contains a class of the label value that stands for "Not this", or "Not this"
        and the class has this value.
    """
    if class_id == NOT_THIS:
        colour = default_colour(NOT_THIS)
        class_id = _background_of(layer)
    elif class_id == background_label(layer):
        raise InputError(
            f"Class {class_id} cannot be drawn in '{layer.name}', where {class_id} stands for 'Not "
            "this': draw it in another layer."
        )
    if isinstance(layer, Labels):
        layer.selected_label = class_id
        return
    if CLASS_FEATURE not in layer.features:
        layer.features = layer.features.assign(
            **{CLASS_FEATURE: np.ones(len(layer.data), dtype=int)}
        )
    layer.feature_defaults = {**layer.feature_defaults.iloc[0], CLASS_FEATURE: class_id}
    set_drawing_colour(layer, colour or default_colour(class_id))


def drawing_class(layer: Labels | Points | Shapes) -> int:
    """Return the class of new drawings, or `NOT_THIS`."""
    if isinstance(layer, Labels):
        class_id = int(layer.selected_label)
    elif CLASS_FEATURE not in layer.feature_defaults:
        class_id = 1
    else:
        class_id = parse_class_id(layer.feature_defaults[CLASS_FEATURE].iloc[0], layer.name)
    return NOT_THIS if class_id == background_label(layer) else class_id


def _background_of(layer: Labels | Points | Shapes) -> int:
    """Return the label value of "Not this" in a layer, which is marked to contain it."""
    if is_result_layer(layer):
        return 0
    if background_label(layer) is None:
        if has_class(layer, BACKGROUND_LABEL):
            raise InputError(
                f"'Not this' cannot be drawn in '{layer.name}', which contains a class "
                f"{BACKGROUND_LABEL}: draw it in another layer."
            )
        mark_background(layer)
    return BACKGROUND_LABEL


def image_to_annotate(viewer: napari.viewer.Viewer) -> Image | None:
    """Return the image of the active layer, or else the topmost image."""
    images = user_images(viewer)
    return image_of(viewer, viewer.layers.selection.active) or (images[-1] if images else None)


def annotate_with_scribbles(viewer: napari.viewer.Viewer) -> None:
    """Open a Labels layer for strokes on parts of the objects; unlabelled pixels stay unknown."""
    _annotate(viewer, "scribble")


def annotate_with_masks(viewer: napari.viewer.Viewer) -> None:
    """Open a Labels layer to fill every object on a frame; unlabelled pixels are background."""
    _annotate(viewer, "mask")


def annotate_with_points(viewer: napari.viewer.Viewer) -> None:
    """Open a Points layer for clicks on objects."""
    _annotate(viewer, "point")


def annotate_with_boxes(viewer: napari.viewer.Viewer) -> None:
    """Open a Shapes layer for boxes around objects."""
    _annotate(viewer, "box")


def _annotate(viewer: napari.viewer.Viewer, kind: AnnotationKind) -> None:
    image = image_to_annotate(viewer)
    if image is None:
        show_warning("Open an image first: annotations are drawn on an image.")
        return
    try:
        open_annotation_layer(viewer, image, kind)
    except InputError as error:
        show_warning(str(error))
