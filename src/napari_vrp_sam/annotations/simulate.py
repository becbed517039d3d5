"""Annotations simulated from ground-truth masks, as in SEEM (paper, section 4.1 and appendix)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_vrp_sam.annotations.geometry import path_to_mask, points_to_mask
from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.errors import InputError

MAX_MARKS = 20
"""Points or strokes of one annotation, at most."""

SPECK = 0.02
"""Boxes smaller than this share of the largest are nothing that anyone would draw."""

_SHORTER_SIDE = 512
"""Stroke sizes below are pixels of a frame with this shorter side, and scale with it."""
_VERTICES = (6, 30)
_BRUSH = (3.0, 10.0)
_SPEED = (5.0, 40.0)
_MAX_TURN = np.pi / 3


def simulate(
    mask: NDArray[Any],
    kind: AnnotationKind,
    rng: np.random.Generator,
    *,
    count: int | None = MAX_MARKS,
    radius: float | None = None,
    each: bool = False,
) -> NDArray[np.float32]:
    """Annotate a ground-truth mask the way a user would.

    Parameters
    ----------
    mask : ndarray, shape (Y, X)
        Ground truth; above 0.5 (or True) is foreground.
    kind : {"point", "scribble", "box", "mask"}
        Points are random foreground pixels, scribbles random free-form strokes, the box is the
        tight bounding box, filled; the mask is the ground truth itself.
    rng : numpy.random.Generator
        Where all chance comes from: the same state gives the same annotation.
    count : int or None
        How many points or strokes. The paper tests with 20 and trains with a random number
        of 1 to 20: None draws it.
    radius : float, optional
        Brush radius of points in pixels; 1 % of the shorter side unless given.
    each : bool
        Draw a box around each object, as one would where there are many; the paper draws one
        around all.

    Returns
    -------
    ndarray, shape (Y, X), float32
        The annotation, 0 or 1. Points and strokes never leave the foreground.

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
    if kind not in ("point", "scribble"):
        raise InputError(f"Unknown annotation kind {kind!r}: use point, scribble, box or mask.")
    pixels = np.argwhere(foreground)
    marks = int(rng.integers(1, MAX_MARKS + 1)) if count is None else count
    starts = pixels[rng.choice(len(pixels), size=min(marks, len(pixels)), replace=False)]
    if kind == "point":
        drawn = points_to_mask(starts, foreground.shape, radius=radius)
    else:
        # Every stroke starts in the foreground, so that clipping never leaves it empty.
        drawn = np.maximum.reduce([_stroke(start, foreground.shape, rng) for start in starts])
    return drawn * foreground


def _boxes(foreground: NDArray[np.bool_], *, each: bool) -> NDArray[np.float32]:
    parts = ndimage.label(foreground)[0] if each else foreground.astype(np.int64)
    found = ndimage.find_objects(parts)
    sizes = [np.prod([side.stop - side.start for side in box]) for box in found]
    boxes = np.zeros(foreground.shape, dtype=np.float32)
    for box, size in zip(found, sizes, strict=True):
        if size >= SPECK * max(sizes):
            boxes[box] = 1
    return boxes


def _stroke(
    start: NDArray[np.int_], frame_shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float32]:
    """A free-form stroke: a random walk of heading and speed.

    After the stroke generator of Yu et al., "Free-Form Image Inpainting with Gated Convolution"
    (ICCV 2019).
    """
    height, width = frame_shape
    scale = min(height, width) / _SHORTER_SIDE
    steps = int(rng.integers(_VERTICES[0], _VERTICES[1], endpoint=True)) - 1
    heading = rng.uniform(0, 2 * np.pi) + rng.uniform(-_MAX_TURN, _MAX_TURN, steps).cumsum()
    pace = rng.uniform(*_SPEED) + rng.uniform(-5, 5, steps).cumsum()
    speed = np.clip(pace, *_SPEED) * scale
    moves = np.stack([np.sin(heading), np.cos(heading)], axis=1) * speed[:, None]
    line = np.vstack([start, start + moves.cumsum(axis=0)])
    line = line.clip(0, (height - 1, width - 1))
    return path_to_mask(line, (height, width), width=rng.uniform(*_BRUSH) * scale)
