"""Noise for textures and irregular outlines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Volume = NDArray[np.float32]


def smooth_noise(rng: np.random.Generator, shape: Sequence[int], sigma: Sequence[float]) -> Volume:
    """Return Gaussian noise with mean 0 and standard deviation 1, smoothed periodically."""
    noise = rng.standard_normal(tuple(shape), dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, sigma, mode="wrap")
    return np.asarray((noise - noise.mean()) / noise.std(), dtype=np.float32)
