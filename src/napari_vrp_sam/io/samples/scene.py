"""Image that resembles an aerial photograph of farmland."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_vrp_sam.io.samples.noise import smooth_noise

Polygon = NDArray[np.float64]
ORCHARD, CROP, MEADOW, SOIL = range(4)
GROUND = np.array([(150, 128, 96), (112, 116, 70), (104, 130, 72), (156, 132, 104)])
"""Colour of the ground of each land use."""


def sample_scene(
    seed: int = 0, size: int = 768, drawn: int = 4
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[Polygon]]:
    """Generate an aerial photograph of farmland, with orchards as the class.

    Crops in rows, meadows with single trees, and bare soil have similar colours, but are
    background. Fields are separated by tracks.

    Parameters
    ----------
    seed : int
        Seed of the random generator.
    size : int
        Height and width in pixels, at least 128.
    drawn : int
        Largest number of orchards that are outlined.

    Returns
    -------
    scene : ndarray, shape (size, size, 3), uint8
        Red, green and blue.
    ground_truth : ndarray, shape (size, size), uint8
        1 inside orchards, else 0.
    polygons : list of ndarray, shape (N, 2), float64
        Outlines (row, column), in pixels, of the largest orchards, preferably of those that do not
        touch the border: a partial annotation.

    Examples
    --------
    >>> from napari_vrp_sam.io.samples import sample_scene
    >>> scene, ground_truth, polygons = sample_scene(size=256, drawn=2)
    >>> scene.shape, ground_truth.shape, len(polygons)
    ((256, 256, 3), (256, 256), 2)
    """
    rng = np.random.default_rng(seed)
    field, inside = _fields(rng, size)
    count = int(field.max()) + 1
    use = rng.permutation(np.arange(count) % 4)
    angle = rng.uniform(0, np.pi, count)
    tone = rng.normal(1, 0.07, count)
    land = use[field]
    image = GROUND[land] * tone[field][..., None].astype(np.float32)
    image *= 1 + 0.06 * smooth_noise(rng, (size, size, 1), (9, 9, 0))
    image *= 1 + 0.05 * smooth_noise(rng, (size, size, 1), (1, 1, 0))
    # Coordinates along and across the rows of each field.
    rows, columns = np.ogrid[:size, :size]
    cosine, sine = np.cos(angle)[field], np.sin(angle)[field]
    across, along = rows * cosine - columns * sine, rows * sine + columns * cosine
    stripes = np.sin(across * (2 * np.pi / rng.uniform(5, 8)))
    image[land == CROP] *= 1 + 0.22 * stripes[land == CROP][:, None]
    _plant(rng, image, (land == ORCHARD) & inside, _grid(rng, across, along))
    single = (rng.random((size, size)) < 0.0005) & (land == MEADOW)
    distance = np.asarray(ndimage.distance_transform_edt(~single), dtype=np.float32)
    _plant(rng, image, (land == MEADOW) & inside, distance)
    tracks = np.count_nonzero(~inside)
    image[~inside] = np.array((178, 166, 146)) * rng.normal(1, 0.03, (tracks, 1))
    image = ndimage.gaussian_filter(image, (0.7, 0.7, 0)) + rng.normal(0, 4, image.shape)
    truth = (land == ORCHARD) & inside
    return image.clip(0, 255).astype(np.uint8), truth.astype(np.uint8), _outlines(truth, drawn)


def _fields(rng: np.random.Generator, size: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the number of the field of each pixel, and False on the tracks between fields."""
    from scipy.spatial import cKDTree

    count = max(8, round(size**2 / 11000))
    grid = np.moveaxis(np.indices((size, size)), 0, -1)
    warped = grid + 6 * np.stack([smooth_noise(rng, (size, size), (30, 30)) for _ in "yx"], -1)
    centres = rng.uniform(0, size, (count, 2))
    for _ in range(3):  # more even sizes
        _, nearest = cKDTree(centres).query(grid[::8, ::8])
        centres = np.array(
            [
                grid[::8, ::8][nearest == number].mean(axis=0) if np.any(nearest == number) else at
                for number, at in enumerate(centres)
            ]
        )
    distance, nearest = cKDTree(centres).query(warped, k=2)
    return nearest[..., 0], distance[..., 1] - distance[..., 0] > 5


def _grid(
    rng: np.random.Generator, across: NDArray[np.float64], along: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the distance of each pixel from the nearest tree of an orchard."""
    wobble = 1.2 * smooth_noise(rng, across.shape, (5, 5))
    u, v = ((axis + wobble + 6) % 12 - 6 for axis in (across, along))
    return np.asarray(np.hypot(u, v), dtype=np.float32)


def _plant(
    rng: np.random.Generator,
    image: NDArray[np.float32],
    where: NDArray[np.bool_],
    distance: NDArray[np.float32],
) -> None:
    """Paint crowns of trees, with their shadows, around the points of distance zero."""
    radius = 4.2 + 0.7 * smooth_noise(rng, distance.shape, (6, 6))
    shadow = np.roll(distance, (2, 2), axis=(0, 1)) < radius
    image[shadow & where] *= 0.6
    crown = (distance < radius) & where
    light = 1 - 0.06 * distance + 0.1 * smooth_noise(rng, distance.shape, (1, 1))
    image[crown] = np.array((70, 100, 48)) * light[crown][:, None]


def _outlines(truth: NDArray[np.bool_], drawn: int) -> list[Polygon]:
    """Return the outlines of the largest regions, first of those within the scene."""
    from skimage.measure import approximate_polygon, find_contours, label, regionprops

    size = len(truth)
    regions = regionprops(label(truth))
    regions.sort(
        key=lambda region: (min(region.bbox) == 0 or max(region.bbox) == size, -region.area)
    )
    outlines = []
    for region in regions[:drawn]:
        contours = find_contours(np.pad(region.image, 1).astype(np.float32), 0.5)
        outline = approximate_polygon(max(contours, key=len), tolerance=1.0)
        outlines.append(outline[:-1] - 1 + np.array(region.bbox[:2]))
    return outlines
