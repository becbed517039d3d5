"""Rasterisation of drawings: masks of classes on frames."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.geometry import (
    OutsideFrameError,
    default_radius,
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
    zeros : callable
        Creates the arrays of the masks from a shape and a dtype; they may lie in files.

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
        zeros: Callable[[tuple[int, int], Any], Any] = np.zeros,
    ) -> None:
        self.classes: dict[int, tuple[Any, AnnotationKind]] = {}
        self.background = zeros(frame_shape, np.bool_)
        self.ignored = zeros(frame_shape, np.bool_)
        self.outside = 0
        for drawing in drawings:
            try:
                place, mask, drawn_as = draw(drawing, frame_shape)
            except OutsideFrameError:
                self.outside += 1
                continue
            drawn_as = kind if kind is not None and drawn_as == "mask" else drawn_as
            if drawing.role == "class":
                if drawing.class_id not in self.classes:
                    self.classes[drawing.class_id] = zeros(frame_shape, np.bool_), drawn_as
                canvas, other = self.classes[drawing.class_id]
                canvas[place] |= mask
                both = min(drawn_as, other, key=MERGE_ORDER.index)
                self.classes[drawing.class_id] = canvas, both
            elif drawing.role == "background":
                self.background[place] |= mask
            else:
                self.ignored[place] |= mask


def draw(
    drawing: Drawing, frame_shape: tuple[int, int]
) -> tuple[tuple[slice, slice], Mask, AnnotationKind]:
    """Rasterise a drawing in the box around it, as frames of maps have millions of pixels.

    Returns
    -------
    place : tuple of slice
        Rows and columns of the box in the frame.
    mask : ndarray of bool
        Pixels of the box.
    kind : {"point", "scribble", "box", "mask"}

    Raises
    ------
    OutsideFrameError
        If it lies outside the frame.
    """
    if drawing.mask is not None:
        height, width = np.minimum(drawing.mask.shape, frame_shape)
        return np.s_[:height, :width], drawing.mask[:height, :width], "mask"
    points = np.concatenate(drawing.rings)
    if not np.isfinite(points).all():
        raise OutsideFrameError("An annotation has a coordinate that is not a number.")
    radius = default_radius(frame_shape)
    margin = 2 + (radius if drawing.shape == "point" else drawing.width)
    low = np.clip(np.floor(points.min(axis=0) - margin), 0, frame_shape).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + margin), 0, frame_shape).astype(int)
    if (low >= high).any():
        raise OutsideFrameError("An annotation lies outside its frame.")
    box = int(high[0] - low[0]), int(high[1] - low[1])
    outline, *holes = (ring - low for ring in drawing.rings)
    place = np.s_[low[0] : high[0], low[1] : high[1]]
    if drawing.shape == "point":
        return place, points_to_mask(outline, box, radius=radius) > 0, "point"
    if drawing.shape == "polygon":
        canvas = polygon_to_mask(outline, box) > 0
        for hole in holes:
            with contextlib.suppress(OutsideFrameError):
                canvas ^= polygon_to_mask(hole, box) > 0
        return place, canvas, "mask"
    mask, kind = shape_to_mask(drawing.shape, outline, box, width=drawing.width)
    return place, mask > 0, kind
