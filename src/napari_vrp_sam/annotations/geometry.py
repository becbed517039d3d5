"""Rasterisation of points and shapes as masks.

Coordinates are (row, column) in pixels, as floats. As in napari, the centre of pixel (r, c) is at
(r, c), and a pixel is marked if its centre is inside. A shape that touches the frame marks at least
one pixel, even if it is smaller than the distance between pixel centres. The functions raise an
`InputError` for coordinates that are not finite, and for points or shapes outside of the frame.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage import draw

from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.errors import InputError

Mask = NDArray[np.float32]
Canvas = NDArray[np.bool_]


class OutsideFrameError(InputError):
    """A point or shape lies outside of its frame."""


def default_radius(frame_shape: tuple[int, int]) -> float:
    """Return the brush radius of points: 1 % of the shorter side in pixels, at least 1."""
    return max(1.0, 0.01 * min(frame_shape))


def points_to_mask(
    points: ArrayLike, frame_shape: tuple[int, int], *, radius: float | None = None
) -> Mask:
    """Return the mask of discs around points.

    Parameters
    ----------
    points : array-like, shape (N, 2)
    frame_shape : tuple of int
        Height and width of the frame.
    radius : float, optional
        Brush radius in pixels (default: `default_radius`).

    Returns
    -------
    ndarray, shape (Y, X), float32
        1 on marked pixels, else 0.

    """
    centres = _vertices(points)
    canvas = np.zeros(frame_shape, dtype=np.bool_)
    reach = default_radius(frame_shape) if radius is None else radius
    for centre in centres:
        _paint_segment(canvas, centre, centre, reach)
    _paint_nearest(canvas, centres)
    return _checked_mask(canvas)


def path_to_mask(vertices: ArrayLike, frame_shape: tuple[int, int], *, width: float = 1.0) -> Mask:
    """Return the mask of a stroke along a polyline of shape (N, 2), with a width in pixels."""
    line = _vertices(vertices)
    canvas = np.zeros(frame_shape, dtype=np.bool_)
    # A stroke narrower than a pixel would miss pixel centres and be disconnected.
    half_width = max(width, 1.0) / 2
    for start, end in pairwise([line[0], *line]):  # a single vertex is a disc
        _paint_segment(canvas, start, end, half_width)
    _paint_nearest(canvas, line)
    return _checked_mask(canvas)


def polygon_to_mask(vertices: ArrayLike, frame_shape: tuple[int, int]) -> Mask:
    """Return the mask of a closed polygon of shape (N, 2), including its edge."""
    corners = _vertices(vertices)
    canvas = np.zeros(frame_shape, dtype=np.bool_)
    inside: Any = draw.polygon(corners[:, 0], corners[:, 1], shape=frame_shape)
    canvas[inside] = True
    if not canvas.any():
        _paint_nearest(canvas, corners)
    return _checked_mask(canvas)


def box_to_mask(corners: ArrayLike, frame_shape: tuple[int, int]) -> Mask:
    """Return the mask of a filled box.

    Parameters
    ----------
    corners : array-like, shape (2, 2) or (4, 2)
        Two opposite corners of an axis-aligned box, or the four corners of any box in order.
    frame_shape : tuple of int

    """
    box = _vertices(corners)
    if len(box) == 2:
        (top, left), (bottom, right) = box
        box = np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
    if len(box) != 4:
        raise InputError(f"A box needs 2 or 4 corners, not {len(box)}: draw it again.")
    return polygon_to_mask(box, frame_shape)


def ellipse_to_mask(corners: ArrayLike, frame_shape: tuple[int, int]) -> Mask:
    """Return the mask of the ellipse inscribed in a box of four corners in order, shape (4, 2)."""
    box = _vertices(corners)
    if len(box) != 4:
        raise InputError(
            f"An ellipse needs the 4 corners of its box, not {len(box)}: draw it again."
        )
    centre = box.mean(axis=0)
    (a, b), (c, d) = np.stack([box[1] - box[0], box[3] - box[0]], axis=1) / 2
    determinant = a * d - b * c
    canvas = np.zeros(frame_shape, dtype=np.bool_)
    if abs(determinant) > 1e-6:  # flatter ellipses contain hardly any pixel centre
        rows, columns = _clipped_slices(box.min(axis=0), box.max(axis=0), frame_shape)
        y, x = np.ogrid[rows, columns]
        y, x = y - centre[0], x - centre[1]
        # In the coordinates of its semi-axes, any ellipse is the unit circle.
        u = (d * y - b * x) / determinant
        v = (a * x - c * y) / determinant
        canvas[rows, columns] = u**2 + v**2 <= 1 + 1e-9  # rounding
    if not canvas.any():
        _paint_nearest(canvas, centre[None])
    return _checked_mask(canvas)


def shape_to_mask(
    shape_type: str, vertices: ArrayLike, frame_shape: tuple[int, int], *, width: float = 1.0
) -> tuple[Mask, AnnotationKind]:
    """Return the mask of a napari shape, and its kind of annotation.

    Parameters
    ----------
    shape_type : {"line", "path", "rectangle", "polygon", "ellipse"}
        Lines and paths are scribbles, rectangles boxes, polygons and ellipses masks.
    vertices : array-like, shape (N, 2)
    frame_shape : tuple of int
    width : float
        Edge width of lines and paths, in pixels.

    """
    if shape_type in ("line", "path"):
        return path_to_mask(vertices, frame_shape, width=width), "scribble"
    if shape_type == "rectangle":
        return box_to_mask(vertices, frame_shape), "box"
    if shape_type == "polygon":
        return polygon_to_mask(vertices, frame_shape), "mask"
    if shape_type == "ellipse":
        return ellipse_to_mask(vertices, frame_shape), "mask"
    raise InputError(f"Shapes of type {shape_type!r} are not supported: draw a path or a polygon.")


def _vertices(points: ArrayLike) -> NDArray[np.float64]:
    vertices = np.asarray(points, dtype=np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 2 or not len(vertices):
        raise InputError(
            f"An annotation needs (row, column) pairs, not an array of shape {vertices.shape}."
        )
    if not np.isfinite(vertices).all():
        raise InputError("An annotation has a coordinate that is not a number: draw it again.")
    return vertices


def _clipped_slices(low: Any, high: Any, frame_shape: tuple[int, int]) -> tuple[slice, slice]:
    """Slices of the pixels between two corners, clipped to the frame."""
    start = np.clip(np.floor(low), 0, frame_shape).astype(int)
    stop = np.clip(np.ceil(high) + 1, 0, frame_shape).astype(int)
    return slice(start[0], stop[0]), slice(start[1], stop[1])


def _paint_segment(
    canvas: Canvas, start: NDArray[np.float64], end: NDArray[np.float64], radius: float
) -> None:
    """Mark the pixels within a radius of a line segment."""
    rows, columns = _clipped_slices(
        np.minimum(start, end) - radius, np.maximum(start, end) + radius, canvas.shape
    )
    r, c = np.ogrid[rows, columns]
    r, c = r - start[0], c - start[1]
    direction = end - start
    length = math.hypot(*direction)
    if length > 0:
        unit = direction / length
        along = np.clip(r * unit[0] + c * unit[1], 0, length)
        r, c = r - along * unit[0], c - along * unit[1]
    canvas[rows, columns] |= r**2 + c**2 <= radius**2


def _paint_nearest(canvas: Canvas, points: NDArray[np.float64]) -> None:
    """Mark the pixel nearest to each point."""
    pixels = np.round(points)
    pixels = pixels[((pixels >= 0) & (pixels < canvas.shape)).all(axis=1)].astype(int)
    canvas[pixels[:, 0], pixels[:, 1]] = True


def _checked_mask(canvas: Canvas) -> Mask:
    if not canvas.any():
        height, width = canvas.shape
        raise OutsideFrameError(
            f"An annotation is outside its frame of {height} x {width} pixels: "
            "draw it on the image."
        )
    return canvas.astype(np.float32)
