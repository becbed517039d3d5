"""Shapes: blobs with random outlines, paths and polygons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from napari_vrp_sam.training.synthetic.parts.draws import Draws, FloatArray
from napari_vrp_sam.training.synthetic.parts.fields import Shape

_ANGLES = 256
FAR = np.float32(9.0)


@dataclass(frozen=True, eq=False)
class Blobs:
    """N bent ellipses whose radius is modulated over the angle."""

    centres: FloatArray  # (N, 2), row and column in pixels
    radii: FloatArray  # (N,), geometric mean of the semi-axes in pixels
    aspects: FloatArray  # (N,), ratio of the semi-axes
    angles: FloatArray  # (N,), in radians
    bends: FloatArray  # (N,), curvature
    outlines: FloatArray  # (N, 256), radius over the angle, relative to the ellipse

    def __len__(self) -> int:
        return len(self.centres)

    @staticmethod
    def concatenate(groups: Sequence[Blobs]) -> Blobs:
        """Join several groups of blobs."""
        names = [field.name for field in fields(Blobs)]
        return Blobs(*(np.concatenate([getattr(g, name) for g in groups]) for name in names))

    def __getitem__(self, selection: NDArray[np.bool_]) -> Blobs:
        return Blobs(*(getattr(self, field.name)[selection] for field in fields(Blobs)))


def random_outlines(draw: Draws, count: int, amount: float, lobes: int = 0) -> FloatArray:
    """Draw outlines of shape (count, 256): low harmonics of the angle, with optional lobes."""
    theta = np.linspace(-np.pi, np.pi, _ANGLES, endpoint=False, dtype=np.float32)
    orders = np.arange(2, 7)
    weights = draw.normal(count, 2, len(orders)) * (amount / orders).astype(np.float32)
    waves = np.stack([np.cos(orders[:, None] * theta), np.sin(orders[:, None] * theta)])
    outlines = 1 + np.einsum("nso,soa->na", weights, waves)
    if lobes:
        outlines *= 0.3 + 0.9 * np.abs(np.cos(0.5 * lobes * theta)) ** 1.5
    return np.asarray(np.clip(outlines, 0.25, 1.8), dtype=np.float32)


def normalised_radius(
    blobs: Blobs, shape: Shape, reach: float = 1.3
) -> tuple[FloatArray, NDArray[np.int32]]:
    """Compute each pixel's radius within its blob, and the index of that blob.

    Returns
    -------
    rho : ndarray, shape (H, W)
        0 at the centre, 1 on the outline, `FAR` away from all blobs. Where blobs overlap the
        smaller value counts, so that they share a border instead.
    index : ndarray, shape (H, W)
        Index of the blob; -1 away from all blobs.
    """
    rho = np.full(shape, FAR, dtype=np.float32)
    index = np.full(shape, -1, dtype=np.int32)
    longest = blobs.radii * np.sqrt(blobs.aspects) * blobs.outlines.max(axis=1)
    extents = reach * longest * (1 + np.abs(blobs.bends)) + 1
    wobbly = bool(np.ptp(blobs.outlines) > 1e-3)
    for i, ((row, column), extent) in enumerate(zip(blobs.centres, extents, strict=True)):
        top, bottom = max(0, int(row - extent)), min(shape[0], int(row + extent) + 1)
        left, right = max(0, int(column - extent)), min(shape[1], int(column + extent) + 1)
        if top >= bottom or left >= right:
            continue
        dy = np.arange(top, bottom, dtype=np.float32)[:, None] - row
        dx = np.arange(left, right, dtype=np.float32)[None] - column
        cosine, sine = np.cos(blobs.angles[i]), np.sin(blobs.angles[i])
        stretch = np.sqrt(blobs.aspects[i])
        along = (cosine * dx + sine * dy) / (blobs.radii[i] * stretch)
        across = (cosine * dy - sine * dx) * (stretch / blobs.radii[i])
        across = across - blobs.bends[i] * stretch * (along * along - 0.3)
        radius = np.sqrt(along * along + across * across)
        if wobbly:
            bins = ((np.arctan2(across, along) + np.pi) * (_ANGLES / (2 * np.pi))).astype(np.int32)
            radius = radius / blobs.outlines[i][bins % _ANGLES]
        window = rho[top:bottom, left:right]
        closer = (radius < window) & (radius < reach)
        window[closer] = radius[closer]
        index[top:bottom, left:right][closer] = i
    return rho, index


def random_walks(
    draw: Draws,
    starts: FloatArray,
    headings: FloatArray,
    steps: int,
    stride: float,
    curl: float,
) -> FloatArray:
    """Draw paths of shape (N, steps, 2) whose direction changes by about `curl` per step."""
    turns = np.cumsum(draw.normal(len(starts), steps) * np.float32(curl), axis=1)
    heading = headings[:, None] + turns
    moves = np.stack([np.sin(heading), np.cos(heading)], axis=-1) * np.float32(stride)
    return np.asarray(starts[:, None] + np.cumsum(moves, axis=1), dtype=np.float32)


def draw_paths(paths: FloatArray, widths: FloatArray, shape: Shape) -> FloatArray:
    """Render antialiased paths (N, S, 2) with widths (N, S) in pixels as an opacity (H, W)."""
    scale = 3
    canvas = Image.new("L", (shape[1] * scale, shape[0] * scale))
    pen = ImageDraw.Draw(canvas)
    for path, width in zip(paths[..., ::-1] * scale, widths * scale, strict=True):
        for a, b, w in zip(path[:-1].tolist(), path[1:].tolist(), width.tolist(), strict=False):
            size = max(1, round(w))
            pen.line((*a, *b), fill=255, width=size)
            if size > 4:  # round joints; thin lines do not show gaps
                r = size / 2 - 0.5
                pen.ellipse((a[0] - r, a[1] - r, a[0] + r, a[1] + r), fill=255)
    return np.asarray(canvas.reduce(scale), dtype=np.float32) / np.float32(255)


def draw_polygons(polygons: Iterable[tuple[FloatArray, int]], shape: Shape) -> NDArray[np.uint8]:
    """Render polygons, each with vertices (V, 2) and an index, as an index map of shape (H, W)."""
    canvas = Image.new("L", (shape[1], shape[0]))
    pen = ImageDraw.Draw(canvas)
    for vertices, index in polygons:
        pen.polygon([(float(x), float(y)) for y, x in vertices], fill=index)
    return np.asarray(canvas)
