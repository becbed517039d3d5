"""Time series that resembles fluorescence microscopy of crowded nuclei."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_vrp_sam.io.samples.noise import Volume, smooth_noise


def sample_nuclei(
    seed: int = 0, size: int = 256, frames: int = 20
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Generate a time series of crowded, moving nuclei, as in fluorescence microscopy.

    Nuclei out of focus, bright debris and an uneven, bleaching background are not part of the class
    although some of them are brighter.

    Parameters
    ----------
    seed : int
        Seed of the random generator.
    size : int
        Height and width in pixels, at least 64.
    frames : int
        Number of time points.

    Returns
    -------
    stack : ndarray, shape (frames, size, size), uint16
    ground_truth : ndarray, shape (frames, size, size), uint8
        1 inside nuclei in focus, else 0.
    """
    rng = np.random.default_rng(seed)
    shape = (frames, size, size)
    area = (size / 256) ** 2
    blurred, _ = _moving_nuclei(rng, shape, round(26 * area) + 1, brightness=420)
    sharp, ground_truth = _moving_nuclei(rng, shape, round(60 * area) + 1, brightness=330)
    debris = (rng.random((1, size, size), dtype=np.float32) < 0.0006) * rng.uniform(3e3, 9e3)
    debris = ndimage.gaussian_filter(debris.repeat(frames, 0).astype(np.float32), (0, 1.5, 1.5))
    out_of_focus = ndimage.gaussian_filter(blurred, (0, 6, 6))
    light = 90 + 25 * smooth_noise(rng, shape, (8, 50, 50)) + sharp + out_of_focus + debris
    light = ndimage.gaussian_filter(light, (0, 1.1, 1.1))
    light *= np.exp(-0.5 * np.arange(frames) / max(frames, 1))[:, None, None]
    counts = rng.poisson(light.clip(0, None) / 4) * 4 + rng.normal(100, 6, shape)
    return counts.clip(0, 65535).astype(np.uint16), ground_truth.astype(np.uint8)


def _moving_nuclei(
    rng: np.random.Generator, shape: tuple[int, int, int], count: int, brightness: float
) -> tuple[Volume, NDArray[np.bool_]]:
    """Intensity and mask of ellipses with textured chromatin, which move and repel each other."""
    frames, height, width = shape
    at = rng.uniform(0, (height, width), (count, 2))
    speed = rng.normal(0, 0.6, (count, 2))
    radius, aspect = rng.uniform(8, 13, count), rng.uniform(1, 1.7, count)
    angle, level = rng.uniform(0, np.pi, count), brightness * rng.lognormal(0, 0.35, count)
    chromatin = smooth_noise(rng, (count, 48, 48), (0, 2.2, 2.2))
    outline = rng.normal(0, 0.06, (count, 4)) / (1, 2, 3, 4)
    image, inside = np.zeros(shape, np.float32), np.zeros(shape, bool)
    for frame in range(frames):
        for _ in range(12 if frame == 0 else 1):
            gap = at[:, None] - at[None]
            distance = np.hypot(*gap.transpose(2, 0, 1)) + np.eye(count) * 1e9
            room = (radius[:, None] + radius[None]) * 1.05
            push = (gap / distance[..., None]) * np.clip(room - distance, 0, None)[..., None]
            at = at + 0.5 * push.sum(axis=1)
        for index in range(count):
            # Bounding box of the nucleus, clipped to the frame.
            low = (at[index] - 1.6 * radius[index]).clip(0, (height, width)).astype(int)
            high = (at[index] + 1.6 * radius[index] + 1).clip(0, (height, width)).astype(int)
            box = (slice(low[0], high[0]), slice(low[1], high[1]))
            rows, columns = np.ogrid[box]
            y, x = rows - at[index, 0], columns - at[index, 1]
            u = (y * np.cos(angle[index]) + x * np.sin(angle[index])) / aspect[index] ** 0.5
            v = (x * np.cos(angle[index]) - y * np.sin(angle[index])) * aspect[index] ** 0.5
            turn = np.arctan2(v, u)
            waves = sum(outline[index, k] * np.cos((k + 2) * turn + k) for k in range(4))
            body = np.hypot(u, v) < radius[index] * (1 + waves)
            texture = chromatin[index][(u.astype(int) + 24) % 48, (v.astype(int) + 24) % 48]
            image[frame][box][body] = level[index] * (1 + 0.25 * texture[body])
            inside[frame][box] |= body
        speed = 0.8 * speed + rng.normal(0, 0.4, speed.shape)
        at, angle = at + speed, angle + rng.normal(0, 0.03, count)
    return image, inside
