"""Simulated image acquisition: colour, contrast, illumination, blur and noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from napari_vrp_sam.training.synthetic.parts.draws import FloatArray, chance, log_uniform, pick
from napari_vrp_sam.training.synthetic.parts.fields import grid


@dataclass(frozen=True, eq=False)
class Look:
    """Acquisition parameters shared by the frames of one stack."""

    gray: bool  # reduce the scene to one channel (repeated three times)
    inverted: bool
    tint: FloatArray | None  # colours (2, 3) that replace black and white of a gray scene
    gamma: float  # exponent of the tone curve
    low: float  # lowest output value of the tone curve
    high: float  # highest output value of the tone curve
    blur: float  # standard deviation of the point spread function in pixels
    noise: str  # "gaussian", "poisson" or "speckle"
    noise_level: float  # standard deviation at medium brightness
    light: float  # relative change of the illumination across the frame

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Look:
        """Draw a random look: most are mild, some severe."""
        gray = chance(rng, 0.35)
        tint = rng.uniform(0, 1, (2, 3)).astype(np.float32)
        tint[0] *= 0.5
        tint[1] = 1 - 0.4 * tint[1]
        span = rng.uniform(0.3, 1.0) if chance(rng, 0.4) else 1.0
        low = rng.uniform(0, 1 - span)
        return cls(
            gray=gray,
            inverted=chance(rng, 0.3),
            tint=tint if gray and chance(rng, 0.25) else None,
            gamma=log_uniform(rng, 0.6, 1.7),
            low=float(low),
            high=float(low + span),
            blur=0.4 if chance(rng, 0.5) else log_uniform(rng, 0.4, 2.2),
            noise=pick(rng, ("gaussian", "poisson", "speckle"), (3, 2, 1)),
            noise_level=0.0 if chance(rng, 0.25) else log_uniform(rng, 0.005, 0.12),
            light=0.0 if chance(rng, 0.5) else float(rng.uniform(0.1, 0.6)),
        )

    def jittered(self, rng: np.random.Generator) -> Look:
        """Return the look of another frame of the stack: slightly changed exposure and focus."""
        shift = rng.normal(0, 0.02)
        return replace(
            self,
            gamma=self.gamma * float(np.exp(rng.normal(0, 0.06))),
            low=float(np.clip(self.low + shift, 0, 1)),
            high=float(np.clip(self.high + shift + rng.normal(0, 0.02), 0, 1)),
            blur=self.blur * float(np.exp(rng.normal(0, 0.15))),
        )

    def apply(self, image: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Simulate the acquisition of a scene, shape (H, W, 3) in 0..1; returns float32 in 0..1."""
        image = np.clip(image, 0, 1)
        if self.gray:
            image = image.mean(axis=2, keepdims=True)
        if self.inverted:
            image = 1 - image
        if abs(self.gamma - 1) > 0.03:
            image = image ** np.float32(self.gamma)
        image = self.low + (self.high - self.low) * image
        if self.light:
            image = image * self._illumination(image.shape[:2], rng)
        if self.blur > 0.45:
            image = ndimage.gaussian_filter(image, (self.blur, self.blur, 0), truncate=2.5)
        if self.noise_level:
            image = self._noisy(image.astype(np.float32, copy=False), rng)
        if self.gray and self.tint is not None:
            image = self.tint[0] + (self.tint[1] - self.tint[0]) * image
        elif self.gray:
            image = np.repeat(image, 3, axis=2)
        return np.clip(image, 0, 1).astype(np.float32)

    def _illumination(self, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
        """Return a tilted plane with vignetting, shape (H, W, 1)."""
        rows, columns = grid((shape[0], shape[1]))
        y, x = rows / shape[0] - 0.5, columns / shape[1] - 0.5
        angle = rng.uniform(0, 2 * np.pi)
        tilt = np.float32(np.sin(angle)) * y + np.float32(np.cos(angle)) * x
        gain = 1 + self.light * (tilt - (x * x + y * y) * rng.uniform(0, 1.5))
        return np.asarray(gain[..., None], dtype=np.float32)

    def _noisy(self, image: FloatArray, rng: np.random.Generator) -> FloatArray:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(self.noise_level)
        if self.noise == "poisson":
            # Gaussian limit of shot noise: the variance is proportional to the brightness.
            noise *= np.sqrt(2 * np.maximum(image, 0.01))
        elif self.noise == "speckle":
            noise *= 2 * image
        return image + noise
