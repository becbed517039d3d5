"""Stack that resembles serial-section electron microscopy of neural tissue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_vrp_sam.io.samples.noise import Volume, smooth_noise


def sample_stack(
    seed: int = 0, size: int = 256, frames: int = 24
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Generate a stack as in serial-section electron microscopy, with mitochondria as the class.

    Mitochondria have a dark double membrane and cristae; they drift, bend, begin and end along z.
    Dense bodies, vesicle clouds and the lamellae of myelin have the same gray values, but are
    background.

    Parameters
    ----------
    seed : int
        Seed of the random generator.
    size : int
        Height and width in pixels, at least 64.
    frames : int
        Number of sections.

    Returns
    -------
    stack : ndarray, shape (frames, size, size), uint8
    ground_truth : ndarray, shape (frames, size, size), uint8
        1 inside mitochondria, else 0.
    """
    rng = np.random.default_rng(seed)
    shape = (frames, size, size)
    cell, depth = _cells(rng, shape)
    grain = smooth_noise(rng, shape, (0.4, 1.2, 1.2))
    image = _cytoplasm(rng, cell, grain)
    _add_vesicles(rng, image, cell, depth)
    myelin = _add_myelin(rng, image, cell, depth)
    free = ~myelin & (depth > 3)
    count = round(34 * (size / 256) ** 2) + 2
    ground_truth = np.zeros(shape, bool)
    for _ in range(count):
        body = _body(rng, cell, free, radius=rng.uniform(8, 15), length=rng.uniform(10, 36))
        if body is not None:
            _paint_mitochondrion(rng, image, *body)
            ground_truth[body[0]] |= body[1] >= 0
            free[body[0]] &= body[1] < -3
    for _ in range(count // 2):
        body = _body(rng, cell, free, radius=rng.uniform(5, 11), length=rng.uniform(6, 12))
        if body is not None:
            _paint_dense_body(rng, image, *body, grain=grain)
            free[body[0]] &= body[1] < -2
    image -= 110 * np.exp(-((depth / 1.4) ** 2))
    return _micrograph(rng, image), ground_truth.astype(np.uint8)


def _cells(
    rng: np.random.Generator, shape: tuple[int, int, int]
) -> tuple[NDArray[np.int32], Volume]:
    """Cell id of each voxel, and its distance in pixels from the border of its cell.

    The cells (neurites) are those of a smoothly warped Voronoi diagram. The section thickness is
    three pixels.
    """
    frames, height, width = shape
    count = round(frames / 12 * height * width / 900) + 4
    seeds = rng.uniform((-4, -20, -20), (frames + 4, height + 20, width + 20), (count, 3))
    seeds[:, 0] *= 3
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).astype(np.float32)
    grid[..., 0] *= 3
    for axis in (1, 2):
        grid[..., axis] += 7 * smooth_noise(rng, shape, (5, 12, 12))
        grid[..., axis] += 1.5 * smooth_noise(rng, shape, (2, 4, 4))
    distance, nearest = cKDTree(seeds).query(grid, k=2, workers=2)
    depth = ((distance[..., 1] - distance[..., 0]) / 2).astype(np.float32)
    return nearest[..., 0].astype(np.int32), depth


def _cytoplasm(rng: np.random.Generator, cell: NDArray[np.int32], grain: Volume) -> Volume:
    """Gray level of each cell, with fine grain and cloudy organelles."""
    level = rng.normal(172, 13, cell.max() + 1).astype(np.float32)
    cloud = smooth_noise(rng, cell.shape, (1, 5, 5))
    specks = ndimage.gaussian_filter(
        (rng.random(cell.shape, dtype=np.float32) < 0.012).astype(np.float32), (0.5, 0.9, 0.9)
    )
    return np.asarray(level[cell] + 9 * grain + 7 * cloud - 260 * specks, dtype=np.float32)


def _add_vesicles(
    rng: np.random.Generator, image: Volume, cell: NDArray[np.int32], depth: Volume
) -> None:
    """Add clouds of small rings to some cells, as dark as mitochondria but of another texture."""
    chosen = rng.permutation(cell.max() + 1)[: (cell.max() + 1) // 7]
    where = np.isin(cell, chosen) & (depth > 4) & (smooth_noise(rng, cell.shape, (2, 8, 8)) > -0.3)
    dots = (rng.random(cell.shape, dtype=np.float32) < 0.022) & where
    distance = ndimage.distance_transform_edt(~dots, sampling=(2.2, 1, 1))
    image -= 75 * np.exp(-(((distance - 2.4) / 0.9) ** 2)).astype(np.float32)


def _add_myelin(
    rng: np.random.Generator, image: Volume, cell: NDArray[np.int32], depth: Volume
) -> NDArray[np.bool_]:
    """Add dark lamellae inside the border of some cells, similar to cristae; return their mask."""
    chosen = rng.permutation(cell.max() + 1)[: max(1, (cell.max() + 1) // 14)]
    sheath = np.isin(cell, chosen) & (depth < 9)
    image[sheath] = (105 - 45 * np.cos(depth[sheath] * (2 * np.pi / 3.1))).astype(np.float32)
    return sheath


Body = tuple[tuple[slice, slice, slice], Volume]
"""Bounding box in the stack, and depth in pixels below the surface (negative outside) in it."""


def _body(
    rng: np.random.Generator,
    cell: NDArray[np.int32],
    free: NDArray[np.bool_],
    radius: float,
    length: float,
) -> Body | None:
    """Closed body within one cell that drifts and rotates along z; None if none fits."""
    centres = np.argwhere(ndimage.minimum_filter(free[1::3], (1, 11, 11)))
    if not len(centres):
        return None
    centre = rng.choice(centres) * (3, 1, 1) + (1, 0, 0)
    aspect = rng.uniform(1.1, 2.4)
    reach = (length / 2, radius * 2 + 8, radius * 2 + 8)
    box = tuple(
        slice(max(0, int(at - r)), min(size, int(at + r) + 1))
        for at, r, size in zip(centre, reach, cell.shape, strict=True)
    )
    z, y, x = (grid - at for grid, at in zip(np.ogrid[box], centre, strict=True))
    along = z / (length / 2)
    angle = rng.uniform(0, np.pi) + 0.5 * along
    drift = rng.normal(0, 0.4, 2)
    y, x = y - drift[0] * z, x - drift[1] * z
    u = (y * np.cos(angle) + x * np.sin(angle)) / aspect**0.5
    v = (x * np.cos(angle) - y * np.sin(angle)) * aspect**0.5
    surface = radius * np.sqrt(np.clip(1 - along**2, 0, None)) + smooth_noise(
        rng, cell[box].shape, (2, 5, 5)
    )
    inside = np.hypot(u, v + rng.uniform(-0.02, 0.02) * u**2) < surface
    inside &= free[box] & (cell[box] == cell[tuple(centre)])
    # Remove fragments and corners that were cut off by the border of the cell.
    smooth = ndimage.gaussian_filter(inside.astype(np.float32), (0.7, 2, 2)) > 0.55
    pieces, _ = ndimage.label(smooth & free[box])
    at_centre = pieces[tuple(np.subtract(centre, [side.start for side in box]))]
    inside = pieces == at_centre
    if not at_centre or np.count_nonzero(inside) < radius**2 * length / 4:
        return None
    depth = [
        ndimage.distance_transform_edt(section) - ndimage.distance_transform_edt(~section)
        if section.any()
        else np.full(section.shape, -np.inf)
        for section in inside
    ]
    return (box[0], box[1], box[2]), np.asarray(depth, dtype=np.float32)


def _paint_mitochondrion(
    rng: np.random.Generator, image: Volume, box: tuple[slice, slice, slice], depth: Volume
) -> None:
    """Paint a dark double membrane, a gray matrix, and cristae as wavy dark lamellae across it."""
    z, y, x = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in depth.shape), indexing="ij")
    angle = rng.uniform(0, np.pi) + 0.05 * z
    warp = 1.4 * smooth_noise(rng, depth.shape, (1.5, 4, 4))
    phase = (y * np.cos(angle) + x * np.sin(angle)) + 2 * warp
    period = rng.uniform(4.5, 6.5)
    cristae = np.cos(phase * (2 * np.pi / period))
    cristae *= smooth_noise(rng, depth.shape, (1, 4, 4)) > -0.8  # with gaps
    matrix = rng.normal(132, 10)
    body = matrix - 30 * cristae - 55 * np.exp(-(((depth - 1.2) / 1.2) ** 2))
    inside = depth > 0
    image[box][inside] = body[inside] + 0.4 * (image[box][inside] - 172)


def _paint_dense_body(
    rng: np.random.Generator,
    image: Volume,
    box: tuple[slice, slice, slice],
    depth: Volume,
    *,
    grain: Volume,
) -> None:
    """Paint a lysosome, as dark as a mitochondrion, but granular and with a single membrane."""
    inside = depth > 0
    lumps = smooth_noise(rng, depth.shape, (1, 2.2, 2.2))
    body = rng.normal(116, 14) + 15 * lumps + 10 * grain[box]
    body -= 25 * np.exp(-(((depth - 1) / 1) ** 2))
    image[box][inside] = body[inside]


def _micrograph(rng: np.random.Generator, image: Volume) -> NDArray[np.uint8]:
    """Apply blur, shading, noise, and the contrast and brightness of each section."""
    frames = len(image)
    image = ndimage.gaussian_filter(image, (0, 0.75, 0.75))
    shading = 6 * smooth_noise(rng, image.shape, (1.5, 60, 60))
    contrast = rng.normal(1, 0.06, (frames, 1, 1))
    brightness = rng.normal(0, 5, (frames, 1, 1))
    noise = rng.normal(0, 9, image.shape)
    seen = (image - 150) * contrast + 150 + brightness + shading + noise
    return np.asarray(seen.clip(0, 255), dtype=np.uint8)
