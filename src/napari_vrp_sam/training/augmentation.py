"""Random crops and appearance changes that turn few annotated images into many episodes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.training.synthetic.parts.draws import FloatArray, chance
from napari_vrp_sam.training.synthetic.parts.looks import Look

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True)
class Crop:
    """A rectangle within a frame, in pixels (half-open)."""

    top: float
    left: float
    height: float
    width: float

    @classmethod
    def random(
        cls,
        rng: np.random.Generator,
        frame: tuple[int, int],
        size: tuple[float, float],
        point: tuple[int, int] | None = None,
    ) -> Crop:
        """Draw a crop of the given size, clipped to the frame, that contains the given pixel."""
        starts, extents = [], []
        for axis in (0, 1):
            extent = min(size[axis], float(frame[axis]))
            room = frame[axis] - extent
            if point is None:
                start = rng.uniform(0, room)
            else:
                start = np.clip(point[axis] - extent * rng.uniform(0.1, 0.9), 0, room)
            starts.append(float(start))
            extents.append(extent)
        return cls(*starts, *extents)

    def jittered(self, rng: np.random.Generator, frame: tuple[int, int]) -> Crop:
        """Return the crop shifted by a few per cent of its size, within the frame."""
        top = self.top + 0.04 * self.height * rng.standard_normal()
        left = self.left + 0.04 * self.width * rng.standard_normal()
        height, width = min(self.height, frame[0]), min(self.width, frame[1])
        top = float(np.clip(top, 0, frame[0] - height))
        return Crop(top, float(np.clip(left, 0, frame[1] - width)), height, width)

    def extract(self, image: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Crop an image, shape (Y, X, 1 or 3), and resize it to `shape` with antialiasing."""
        frame = image[..., 0] if image.shape[2] == 1 else image
        crop = self._resize(frame, shape, Image.Resampling.BILINEAR)
        return crop[..., None] if crop.ndim == 2 else crop

    def extract_labels(
        self, labels: NDArray[np.uint8], shape: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """Crop a label image, shape (Y, X), and resize it to `shape` by nearest neighbour."""
        return self._resize(labels, shape, Image.Resampling.NEAREST)

    def _resize(
        self, frame: NDArray[np.uint8], shape: tuple[int, int], resampling: Image.Resampling
    ) -> NDArray[np.uint8]:
        box = (self.left, self.top, self.left + self.width, self.top + self.height)
        return np.asarray(Image.fromarray(frame).resize((shape[1], shape[0]), resampling, box))


def reorient(array: NDArray[_Scalar], orientation: int) -> NDArray[_Scalar]:
    """Apply one of the eight flips and quarter turns (0..7) to the first two axes."""
    turned = np.rot90(array, orientation % 4)
    return turned[:, ::-1] if orientation >= 4 else turned


@dataclass(frozen=True, eq=False)
class Appearance:
    """Change of colour and image quality shared by the frames of an episode.

    Attributes
    ----------
    order : tuple of int
        Permutation of the colour channels.
    gains : ndarray, shape (3,)
        Factor of each channel.
    look : Look, optional
        Simulated acquisition: contrast, inversion, blur, noise.
    """

    order: tuple[int, ...]
    gains: FloatArray
    look: Look | None

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Appearance:
        """Draw a random change; about a third of the draws leave image quality unchanged."""
        order = tuple(map(int, rng.permutation(3))) if chance(rng, 0.1) else (0, 1, 2)
        gains = np.exp(rng.normal(0, 0.12, 3)) if chance(rng, 0.6) else np.ones(3)
        look = None
        if chance(rng, 0.65):
            look = Look.sample(rng)
            # Real frames are already noisy and blurred.
            look = replace(look, noise_level=0.6 * look.noise_level, blur=0.7 * look.blur)
        return cls(order, gains.astype(np.float32), look)

    def jittered(self, rng: np.random.Generator) -> Appearance:
        """Return a similar change, as for the next frame of a series."""
        gains = self.gains * np.exp(rng.normal(0, 0.03, 3)).astype(np.float32)
        return replace(self, gains=gains, look=self.look and self.look.jittered(rng))

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> FloatArray:
        """Transform a frame, shape (Y, X, 1 or 3), uint8, into float32 (Y, X, 3) in 0..1."""
        scaled = image.astype(np.float32) / np.float32(255)
        if scaled.shape[2] == 1:
            # One gain for all channels: gray frames stay gray unless the look tints them.
            scaled = np.repeat(scaled * self.gains[0], 3, axis=2)
        else:
            scaled = scaled[..., self.order] * self.gains
        if self.look is not None:
            return self.look.apply(scaled, rng)
        return np.asarray(np.clip(scaled, 0, 1), dtype=np.float32)
