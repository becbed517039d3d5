"""Simulation of annotations from ground-truth masks, as in SEEM (paper, sec. 4.1, appendix)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_vrp_sam.annotations.geometry import path_to_mask, points_to_mask
from napari_vrp_sam.annotations.reference import ANNOTATION_KINDS, AnnotationKind
from napari_vrp_sam.errors import InputError

MAX_MARKS = 20
"""Maximum number of points or strokes of an annotation."""

MIN_BOX_SHARE = 0.02
"""Minimum area of a box relative to the largest box; a user would not draw smaller ones."""

_SHORTER_SIDE = 512
"""Shorter side, in pixels, of a frame to which the stroke sizes below apply; they scale with it."""
_VERTICES = (6, 30)
_BRUSH_WIDTH = (3.0, 10.0)
_STEP_LENGTH = (5.0, 40.0)
_MAX_TURN = np.pi / 3


def simulate_annotation(
    mask: NDArray[Any],
    kind: AnnotationKind,
    rng: np.random.Generator,
    *,
    count: int | None = MAX_MARKS,
    radius: float | None = None,
    each: bool = False,
) -> NDArray[np.float32]:
    """Annotate a ground-truth mask as a user would.

    Parameters
    ----------
    mask : ndarray, shape (Y, X)
        Ground truth; above 0.5 (or True) is foreground.
    kind : {"point", "scribble", "partial", "box", "mask"}
        Random foreground pixels, random free-form strokes, some of the connected components, the
        filled bounding box, or the mask itself.
    rng : numpy.random.Generator
        Generator; the same state gives the same annotation.
    count : int or None
        Number of points or strokes; None draws it from 1 to 20. The paper tests with 20 and trains
        with a random number. A partial mask has at most as many components, and at most half of
        them.
    radius : float, optional
        Brush radius of points in pixels (default: 1 % of the shorter side).
    each : bool
        Draw a box around each object, instead of one around all as in the paper.

    Returns
    -------
    ndarray, shape (Y, X), float32
        Annotation, 0 or 1. Points and strokes do not exceed the foreground.

    Raises
    ------
    InputError
        If the mask has no foreground or the kind is unknown.
    """
    foreground = np.asarray(mask) > 0.5
    if foreground.ndim != 2 or not foreground.any():
        raise InputError("An annotation can only be simulated from a 2-D mask with foreground.")
    if kind == "mask":
        return foreground.astype(np.float32)
    if kind == "box":
        return _boxes(foreground, each=each)
    if kind not in ANNOTATION_KINDS:
        raise InputError(
            f"Unknown annotation kind {kind!r}: use one of {', '.join(ANNOTATION_KINDS)}."
        )
    pixels = np.argwhere(foreground)
    marks = int(rng.integers(1, MAX_MARKS + 1)) if count is None else count
    if kind == "partial":
        return _some_components(foreground, marks, rng)
    starts = pixels[rng.choice(len(pixels), size=min(marks, len(pixels)), replace=False)]
    if kind == "point":
        drawn = points_to_mask(starts, foreground.shape, radius=radius)
    else:
        # Strokes start in the foreground, so that they are not empty after clipping.
        drawn = np.maximum.reduce([_stroke(start, foreground.shape, rng) for start in starts])
    return drawn * foreground


def _boxes(foreground: NDArray[np.bool_], *, each: bool) -> NDArray[np.float32]:
    objects = ndimage.label(foreground)[0] if each else foreground.astype(np.int64)
    found = ndimage.find_objects(objects)
    sizes = [np.prod([side.stop - side.start for side in box]) for box in found]
    boxes = np.zeros(foreground.shape, dtype=np.float32)
    for box, size in zip(found, sizes, strict=True):
        if size >= MIN_BOX_SHARE * max(sizes):
            boxes[box] = 1
    return boxes


def _some_components(
    foreground: NDArray[np.bool_], most: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    components, count = ndimage.label(foreground)
    drawn = 1 + rng.permutation(count)[: min(most, -(-count // 2))]
    return np.isin(components, drawn).astype(np.float32)


def _stroke(
    start: NDArray[np.int_], frame_shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Free-form stroke: a random walk of heading and step length.

    After Yu et al., "Free-Form Image Inpainting with Gated Convolution" (ICCV 2019).
    """
    height, width = frame_shape
    scale = min(height, width) / _SHORTER_SIDE
    steps = int(rng.integers(_VERTICES[0], _VERTICES[1], endpoint=True)) - 1
    heading = rng.uniform(0, 2 * np.pi) + rng.uniform(-_MAX_TURN, _MAX_TURN, steps).cumsum()
    lengths = rng.uniform(*_STEP_LENGTH) + rng.uniform(-5, 5, steps).cumsum()
    lengths = np.clip(lengths, *_STEP_LENGTH) * scale
    moves = np.stack([np.sin(heading), np.cos(heading)], axis=1) * lengths[:, None]
    line = np.vstack([start, start + moves.cumsum(axis=0)])
    line = line.clip(0, (height - 1, width - 1))
    return path_to_mask(line, (height, width), width=rng.uniform(*_BRUSH_WIDTH) * scale)
