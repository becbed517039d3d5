"""Procedural textures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_vrp_sam.training.synthetic.parts import fields
from napari_vrp_sam.training.synthetic.parts.draws import (
    Draws,
    FloatArray,
    chance,
    log_uniform,
    pick,
)

Colour = NDArray[np.float32]
KINDS = ("band", "fractal", "grain", "spots", "cells", "stripes", "lattice", "maze", "flat")
_RATE = 5.0
"""Texture changes faster than layout from slice to slice, as in thick sections."""


def random_colour(rng: np.random.Generator, *, gray: bool) -> Colour:
    """Draw a colour; saturation is usually moderate, as in real images."""
    value = rng.uniform(0.08, 0.92)
    if gray:
        return np.full(3, value, dtype=np.float32)
    saturation = rng.beta(1.5, 2.5) * min(value, 1 - value) * 2
    hue = rng.uniform(0, 2 * np.pi)
    # Three cosines 120 degrees apart sum to zero and leave the brightness unchanged.
    wheel = np.cos(hue + np.array([0, 2, 4]) * np.pi / 3)
    return np.clip(value + 0.6 * saturation * wheel, 0, 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Texture:
    """A pattern between two colours."""

    kind: str  # one of `KINDS`
    low: Colour  # at pattern value 0
    high: Colour  # at pattern value 1
    wavelength: float  # typical size of the pattern in pixels
    angle: float  # direction in radians
    spread: float  # standard deviation of the direction in radians
    character: float  # in 0..1; bandwidth, sharpness or spot size, depending on the kind

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        *,
        gray: bool,
        contrast: float = 0.25,
        kind: str | None = None,
    ) -> Texture:
        """Draw a random texture; `contrast` bounds the difference of its two colours."""
        base = random_colour(rng, gray=gray)
        swing = rng.uniform(0.15, 1.0) * contrast
        tint = np.zeros(3) if gray else rng.normal(0, 0.25, 3) * contrast
        oriented = chance(rng, 0.4)
        return cls(
            kind=kind or pick(rng, KINDS, (3, 1.5, 1, 1.5, 1, 1.5, 0.7, 1.5, 1)),
            low=np.clip(base - swing - tint, 0, 1).astype(np.float32),
            high=np.clip(base + swing + tint, 0, 1).astype(np.float32),
            wavelength=log_uniform(rng, 3.5, 32),
            angle=float(rng.uniform(-np.pi / 2, np.pi / 2)),
            spread=log_uniform(rng, 0.1, 0.5) if oriented else np.inf,
            character=float(rng.random()),
        )

    def variant(self, rng: np.random.Generator, *, gray: bool) -> Texture:
        """Return a texture with either the colours or the pattern of this one, never both."""
        other = Texture.sample(rng, gray=gray)
        if chance(rng, 0.5):
            return replace(self, low=other.low, high=other.high)
        kinds = [kind for kind in KINDS if kind not in (self.kind, "flat")]
        return replace(other, kind=pick(rng, kinds), low=self.low, high=self.high)

    def recoloured(self, low: Colour, high: Colour) -> Texture:
        """Return the pattern in other colours."""
        return replace(self, low=np.asarray(low, np.float32), high=np.asarray(high, np.float32))

    def render(self, draw: Draws, shape: fields.Shape) -> FloatArray:
        """Render the texture as an image of shape (H, W, 3) in 0..1."""
        pattern = self.pattern(draw, shape)[..., None]
        return self.low + (self.high - self.low) * pattern

    def pattern(self, draw: Draws, shape: fields.Shape) -> FloatArray:
        """Render the pattern alone, shape (H, W), in 0..1."""
        values: FloatArray = getattr(self, f"_{self.kind}")(draw, shape)
        return np.clip(values, 0, 1, out=values)

    def _band(self, draw: Draws, shape: fields.Shape) -> FloatArray:
        gain = fields.band_gain(
            shape, self.wavelength, 0.25 + 0.9 * self.character, self.angle, self.spread
        )
        return 0.5 + 0.25 * fields.gaussian_field(draw, gain, shape, _RATE)

    def _fractal(self, draw: Draws, shape: fields.Shape) -> FloatArray:
        gain = fields.slope_gain(shape, 0.8 + 1.2 * self.character)
        return 0.5 + 0.22 * fields.gaussian_field(draw, gain, shape, _RATE)

    def _grain(self, draw: Draws, shape: fields.Shape) -> FloatArray:
        noise = fields.smooth_field(draw, shape, 1 + 4 * self.character, _RATE)
        return 0.5 + 0.25 * noise

    def _maze(self, draw: Draws, shape: fields.Shape) -> FloatArray:
        # Thresholded band-pass noise resembles the steady state of a reaction-diffusion system.
        gain = fields.band_gain(shape, self.wavelength, 0.22, self.angle, self.spread)
        noise = fields.gaussian_field(draw, gain, shape, _RATE) + np.float32(2 * self.character - 1)
        values: FloatArray = 0.5 + 0.5 * np.tanh(3 * noise)
        return values

    def _points(self, draw: Draws, shape: fields.Shape) -> FloatArray:
        step = max(1.3 * self.wavelength, 5.0)
        axes = [np.arange(-step, size + step, step, dtype=np.float32) for size in shape]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
        jitter = 0.1 + 0.5 * self.character
        return points + np.float32(jitter * step) * draw.normal(*points.shape, rate=1.0)

    def _spots(self, draw: Draws, shape: fields.Shape) -> FloatArray:
        radius = max(1.2, self.wavelength * (0.25 + 0.3 * ((7 * self.character) % 1)))
        near = fields.distance_to_points(self._points(draw, shape), shape)
        values: FloatArray = np.clip((radius - near) / max(1.0, 0.3 * radius) + 0.5, 0, 1)
        return values

    def _cells(self, draw: Draws, shape: fields.Shape) -> FloatArray:
        return fields.distance_to_points(self._points(draw, shape), shape) / (1.2 * self.wavelength)

    def _waves(self, draw: Draws, shape: fields.Shape, angle: float) -> FloatArray:
        rows, columns = fields.grid(shape)
        bend = self.wavelength * (0.05 + 0.5 * self.character)
        phase = rows * np.float32(np.sin(angle)) + columns * np.float32(np.cos(angle))
        phase = phase + bend * fields.smooth_field(draw, shape, 12 * self.wavelength)
        phase = phase * np.float32(2 * np.pi / self.wavelength) + draw.uniform(0, 6.28, 1)
        return np.asarray(np.sin(phase), dtype=np.float32)

    def _stripes(self, draw: Draws, shape: fields.Shape) -> FloatArray:
        sharp = 0.6 + 3 * ((5 * self.character) % 1)
        values: FloatArray = 0.5 + 0.5 * np.tanh(sharp * self._waves(draw, shape, self.angle))
        return values

    def _lattice(self, draw: Draws, shape: fields.Shape) -> FloatArray:
        across = self._waves(draw, shape, self.angle) * self._waves(draw, shape, self.angle + 1.4)
        values: FloatArray = 0.5 + 0.5 * np.tanh(2 * across)
        return values

    def _flat(self, draw: Draws, shape: fields.Shape) -> FloatArray:
        return 0.5 + 0.1 * fields.smooth_field(draw, shape, 60.0)


def soften(coverage: FloatArray | NDArray[np.bool_], sigma: float) -> FloatArray:
    """Turn a mask into an opacity with soft edges."""
    opacity = np.asarray(coverage, dtype=np.float32)
    return ndimage.gaussian_filter(opacity, sigma, truncate=2.5) if sigma > 0.2 else opacity


def blend(image: FloatArray, layer: FloatArray, opacity: FloatArray | NDArray[np.bool_]) -> None:
    """Blend `layer` (an image or a colour) over `image` in place."""
    image += (layer - image) * np.asarray(opacity, dtype=np.float32)[..., None]
