"""Geometry that a user drew -> masks.

Coordinates are (row, column) in pixels, floats; as in napari, the centre of pixel (r, c) lies at
exactly (r, c), and a pixel is marked when its centre lies inside. Whatever touches the frame marks
at least one pixel, so that a small shape is never lost between pixel centres.
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


def default_radius(frame_shape: tuple[int, int]) -> float:
    """Brush radius of a point in pixels: 1 % of the frame's shorter side, at least 1."""
    return max(1.0, 0.01 * min(frame_shape))


def points_to_mask(
    points: ArrayLike, frame_shape: tuple[int, int], *, radius: float | None = None
) -> Mask:
    """Discs around points.

    Parameters
    ----------
    points : array-like, shape (N, 2)
    frame_shape : tuple of int
        Height and width of the frame.
    radius : float, optional
        Brush radius in pixels; `default_radius` unless given.

    Returns
    -------
    ndarray, shape (Y, X), float32
        1 on marked pixels, else 0.

    Raises
    ------
    InputError
        If no point touches the frame.
    """
    centres = _vertices(points)
    canvas = np.zeros(frame_shape, dtype=np.bool_)
    reach = default_radius(frame_shape) if radius is None else radius
    for centre in centres:
        _paint_segment(canvas, centre, centre, reach)
    _paint_nearest(canvas, centres)
    return _finished(canvas)


def path_to_mask(vertices: ArrayLike, frame_shape: tuple[int, int], *, width: float = 1.0) -> Mask:
    """A stroke of the given width (pixels, at least 1) along a polyline of shape (N, 2).

    Raises
    ------
    InputError
        If the stroke does not touch the frame.
    """
    line = _vertices(vertices)
    canvas = np.zeros(frame_shape, dtype=np.bool_)
    # Narrower than a pixel, a stroke would slip between pixel centres and fall into pieces.
    half_width = max(width, 1.0) / 2
    for start, end in pairwise(line if len(line) > 1 else np.repeat(line, 2, axis=0)):
        _paint_segment(canvas, start, end, half_width)
    _paint_nearest(canvas, line)
    return _finished(canvas)


def polygon_to_mask(vertices: ArrayLike, frame_shape: tuple[int, int]) -> Mask:
    """The inside of a closed polygon of shape (N, 2), its edge included.

    Raises
    ------
    InputError
        If the polygon does not touch the frame.
    """
    corners = _vertices(vertices)
    canvas = np.zeros(frame_shape, dtype=np.bool_)
    inside: Any = draw.polygon(corners[:, 0], corners[:, 1], shape=frame_shape)
    canvas[inside] = True
    if not canvas.any():
        _paint_nearest(canvas, corners)
    return _finished(canvas)


def box_to_mask(corners: ArrayLike, frame_shape: tuple[int, int]) -> Mask:
    """A filled box.

    Parameters
    ----------
    corners : array-like, shape (2, 2) or (4, 2)
        Two opposite corners of an upright box, or all four in order (which may be rotated).
    frame_shape : tuple of int

    Raises
    ------
    InputError
        If the box does not touch the frame, or has another number of corners.
    """
    box = _vertices(corners)
    if len(box) == 2:
        (top, left), (bottom, right) = box
        box = np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
    if len(box) != 4:
        raise InputError(f"A box has 2 or 4 corners, this one has {len(box)}.")
    return polygon_to_mask(box, frame_shape)


def ellipse_to_mask(corners: ArrayLike, frame_shape: tuple[int, int]) -> Mask:
    """The filled ellipse inscribed in a box of four corners in order, shape (4, 2).

    Raises
    ------
    InputError
        If the ellipse does not touch the frame, or the number of corners is not 4.
    """
    box = _vertices(corners)
    if len(box) != 4:
        raise InputError(f"An ellipse is given by the 4 corners of its box, not by {len(box)}.")
    centre = box.mean(axis=0)
    (a, b), (c, d) = np.stack([box[1] - box[0], box[3] - box[0]], axis=1) / 2
    determinant = a * d - b * c
    canvas = np.zeros(frame_shape, dtype=np.bool_)
    if abs(determinant) > 1e-6:  # flatter ones hold no pixel centre to speak of
        rows, columns = _window(box.min(axis=0), box.max(axis=0), frame_shape)
        y, x = np.ogrid[rows, columns]
        y, x = y - centre[0], x - centre[1]
        # In the coordinates of its half axes an ellipse, rotated or not, is the unit circle.
        u = (d * y - b * x) / determinant
        v = (a * x - c * y) / determinant
        canvas[rows, columns] = u**2 + v**2 <= 1 + 1e-9  # rounding
    if not canvas.any():
        _paint_nearest(canvas, centre[None])
    return _finished(canvas)


def shape_to_mask(
    shape_type: str, vertices: ArrayLike, frame_shape: tuple[int, int], *, width: float = 1.0
) -> tuple[Mask, AnnotationKind]:
    """One shape of a Shapes layer -> its mask and what kind of annotation it is.

    Parameters
    ----------
    shape_type : {"line", "path", "rectangle", "polygon", "ellipse"}
        Lines and paths are scribbles, rectangles boxes, polygons and ellipses masks.
    vertices : array-like, shape (N, 2)
    frame_shape : tuple of int
    width : float
        Edge width in pixels, of lines and paths only.

    Raises
    ------
    InputError
        If the shape does not touch the frame or its type is unknown.
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
            f"An annotation needs (row, column) pairs, this one has the shape {vertices.shape}."
        )
    if not np.isfinite(vertices).all():
        raise InputError("An annotation has a coordinate that is not a number: draw it again.")
    return vertices


def _window(low: Any, high: Any, frame_shape: tuple[int, int]) -> tuple[slice, slice]:
    """The pixels between two corners, as slices that stay inside the frame."""
    start = np.clip(np.floor(low), 0, frame_shape).astype(int)
    stop = np.clip(np.ceil(high) + 1, 0, frame_shape).astype(int)
    return slice(start[0], stop[0]), slice(start[1], stop[1])


def _paint_segment(
    canvas: Canvas, start: NDArray[np.float64], end: NDArray[np.float64], radius: float
) -> None:
    """Mark the pixels whose distance to a segment is at most the radius."""
    rows, columns = _window(
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
    """Mark the pixel that each point lies in."""
    pixels = np.round(points)
    pixels = pixels[((pixels >= 0) & (pixels < canvas.shape)).all(axis=1)].astype(int)
    canvas[pixels[:, 0], pixels[:, 1]] = True


def _finished(canvas: Canvas) -> Mask:
    if not canvas.any():
        height, width = canvas.shape
        raise InputError(
            f"An annotation lies outside its frame of {height} x {width} pixels: "
            "draw it on the image."
        )
    return canvas.astype(np.float32)
