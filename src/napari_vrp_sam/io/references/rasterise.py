"""Rasterisation of drawings: masks of classes on frames."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.geometry import (
    OutsideFrameError,
    points_to_mask,
    polygon_to_mask,
    shape_to_mask,
)
from napari_vrp_sam.annotations.reference import MERGE_ORDER, AnnotationKind
from napari_vrp_sam.io.references.annotations import Drawing

Mask = NDArray[np.bool_]


class FrameMasks:
    """Masks of all drawings on one frame.

    Parameters
    ----------
    drawings : iterable of Drawing
        Those outside the frame are counted, and not drawn.
    frame_shape : tuple of int
    kind : {"point", "scribble", "partial", "box", "mask"}, optional
        Kind of the polygons, ellipses and masks; default: "mask".

    Attributes
    ----------
    classes : dict of int to (ndarray of bool, kind)
        Mask and kind of annotation of each class. The kind of several shapes is the first of
        `MERGE_ORDER`.
    background, ignored : ndarray of bool
    outside : int
        Number of drawings outside the frame.
    """

    def __init__(
        self,
        drawings: Iterable[Drawing],
        frame_shape: tuple[int, int],
        kind: AnnotationKind | None = None,
    ) -> None:
        self.classes: dict[int, tuple[Mask, AnnotationKind]] = {}
        self.background = np.zeros(frame_shape, np.bool_)
        self.ignored = np.zeros(frame_shape, np.bool_)
        self.outside = 0
        for drawing in drawings:
            try:
                mask, drawn_as = draw(drawing, frame_shape)
            except OutsideFrameError:
                self.outside += 1
                continue
            drawn_as = kind if kind is not None and drawn_as == "mask" else drawn_as
            if drawing.role == "class":
                before, other = self.classes.get(drawing.class_id, (mask, drawn_as))
                both = min(drawn_as, other, key=MERGE_ORDER.index)
                self.classes[drawing.class_id] = mask | before, both
            elif drawing.role == "background":
                self.background |= mask
            else:
                self.ignored |= mask


def draw(drawing: Drawing, frame_shape: tuple[int, int]) -> tuple[Mask, AnnotationKind]:
    """Return the mask of a drawing, shape (Y, X), and its kind of annotation.

    Raises
    ------
    OutsideFrameError
        If it lies outside the frame.
    """
    if drawing.mask is not None:
        canvas = np.zeros(frame_shape, np.bool_)
        height, width = np.minimum(drawing.mask.shape, frame_shape)
        canvas[:height, :width] = drawing.mask[:height, :width]
        return canvas, "mask"
    if drawing.shape == "point":
        return points_to_mask(drawing.rings[0], frame_shape) > 0, "point"
    if drawing.shape == "polygon":
        outline, *holes = drawing.rings
        canvas = polygon_to_mask(outline, frame_shape) > 0
        for hole in holes:
            try:
                canvas ^= polygon_to_mask(hole, frame_shape) > 0
            except OutsideFrameError:
                continue
        return canvas, "mask"
    mask, kind = shape_to_mask(drawing.shape, drawing.rings[0], frame_shape, width=drawing.width)
    return mask > 0, kind
