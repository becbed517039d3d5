"""Stationary random fields, from which textures and regions are made."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from napari_vrp_sam.training.synthetic.parts.draws import Draws, FloatArray

Shape = tuple[int, int]


@lru_cache(maxsize=16)
def frequencies(shape: Shape) -> tuple[FloatArray, FloatArray]:
    """Return modulus (cycles per pixel) and angle of each frequency of the half spectrum."""
    fy = fft.fftfreq(shape[0])[:, None]
    fx = fft.rfftfreq(shape[1])[None, :]
    modulus = np.hypot(fy, fx)
    modulus[0, 0] = 1e-6
    return modulus.astype(np.float32), np.arctan2(fy, fx).astype(np.float32)


@lru_cache(maxsize=16)
def grid(shape: Shape) -> tuple[FloatArray, FloatArray]:
    """Return row and column coordinates in pixels, each of shape (H, W); do not modify them."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return rows, columns


def gaussian_field(draw: Draws, gain: FloatArray, shape: Shape, rate: float = 1.0) -> FloatArray:
    """Draw a Gaussian field with amplitude spectrum `gain`, mean 0 and standard deviation 1."""
    half = (shape[0], shape[1] // 2 + 1)
    noise = draw.normal(2, *half, rate=rate)
    spectrum = (noise[0] + 1j * noise[1]) * gain
    spectrum[0, 0] = 0
    values = fft.irfft2(spectrum, s=shape)
    return np.asarray(values / (values.std() + 1e-9), dtype=np.float32)


def smooth_field(draw: Draws, shape: Shape, wavelength: float, rate: float = 1.0) -> FloatArray:
    """Draw an isotropic field without structure finer than about the wavelength in pixels."""
    modulus, _ = frequencies(shape)
    return gaussian_field(draw, np.exp(-0.5 * (modulus * wavelength) ** 2), shape, rate)


def band_gain(
    shape: Shape, wavelength: float, octaves: float, angle: float = 0.0, spread: float = np.inf
) -> FloatArray:
    """Compute the amplitude spectrum of band-pass noise.

    Parameters
    ----------
    shape : tuple of int
    wavelength : float
        Centre of the band in pixels.
    octaves : float
        Standard deviation of the band in octaves.
    angle, spread : float
        Direction of the wave vector and its standard deviation in radians; an infinite spread
        makes the noise isotropic.
    """
    modulus, direction = frequencies(shape)
    gain = np.exp(-0.5 * (np.log2(modulus * wavelength) / octaves) ** 2)
    # There are more fine frequencies than coarse ones; the division compensates for that.
    gain = gain / modulus
    if np.isfinite(spread):
        away = (direction - angle + np.pi / 2) % np.pi - np.pi / 2
        gain = gain * np.exp(-0.5 * (away / spread) ** 2)
    return np.asarray(gain, dtype=np.float32)


def slope_gain(shape: Shape, slope: float) -> FloatArray:
    """Compute the amplitude spectrum of power-law noise: slope 0 is white, 2 is cloud-like."""
    modulus, _ = frequencies(shape)
    return np.asarray(np.maximum(modulus, 1 / max(shape)) ** -slope, dtype=np.float32)


def warped_grid(
    draw: Draws, shape: Shape, amplitude: float, wavelength: float
) -> tuple[FloatArray, FloatArray]:
    """Displace pixel coordinates by a smooth field of the given amplitude in pixels."""
    rows, columns = grid(shape)
    if amplitude <= 0:
        return rows, columns
    return (
        rows + np.float32(amplitude) * smooth_field(draw, shape, wavelength),
        columns + np.float32(amplitude) * smooth_field(draw, shape, wavelength),
    )


def distance_to_points(points: FloatArray, shape: Shape) -> FloatArray:
    """Compute the distance of each pixel to the nearest of the points (row, column), shape (N, 2).

    This is Worley's cellular basis function F1, computed at half resolution for speed.
    """
    half = (shape[0] // 2 + 1, shape[1] // 2 + 1)
    empty: NDArray[np.bool_] = np.ones(half, dtype=bool)
    at = np.round(points / 2).astype(int)
    at = at[((at >= 0) & (at < half)).all(axis=1)]
    empty[at[:, 0], at[:, 1]] = False
    near = 2 * ndimage.distance_transform_edt(empty).astype(np.float32)
    return upsample(near, 2)[: shape[0], : shape[1]]


def upsample(values: FloatArray, factor: int) -> FloatArray:
    """Upsample by an integer factor with linear interpolation along both axes."""
    for axis in (0, 1):
        ahead = np.concatenate(
            [values.take(range(1, values.shape[axis]), axis), values.take([-1], axis)], axis
        )
        steps = [values + (ahead - values) * np.float32(k / factor) for k in range(factor)]
        stacked = np.stack(steps, axis=axis + 1)
        size = list(values.shape)
        size[axis] *= factor
        values = stacked.reshape(size)
    return values
