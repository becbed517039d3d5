"""Random crops of annotated frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.fine_tuning.data.annotated_frames import AnnotatedFrame
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.training.augmentation import Appearance, Crop, reorient
from napari_vrp_sam.training.synthetic.parts.draws import FloatArray, chance, log_uniform

ANYWHERE = 0.3
"""Share of crops that may lie anywhere instead of on a class."""

UNCHANGED = Appearance((0, 1, 2), np.ones(3, dtype=np.float32), None)


class CropStream:
    """Batches of crops with the K classes of a dense head. Implements `BatchStream`."""

    def __init__(
        self,
        frames: Sequence[AnnotatedFrame],
        class_ids: Sequence[int],
        recipe: FineTuningRecipe,
        seed: int,
        *,
        zoom: int = 1,
    ) -> None:
        self._zoom = zoom
        self._recipe = recipe
        self._seed = seed
        self._images = [to_uint8_image(frame.image) for frame in frames]
        self._ground_truths = [
            np.stack([frame.ground_truth(class_id) for class_id in class_ids]) for frame in frames
        ]
        self._occurrences = [
            (number, channel)
            for number, ground_truth in enumerate(self._ground_truths)
            for channel in range(len(class_ids))
            if (ground_truth[channel] == 1).any()
        ]

    def batch(self, step: int) -> dict[str, Any]:
        """Return the batch of a step.

        Returns
        -------
        dict
            `targets`, float32 of shape (B, 3, H, W); `target_masks`, float32, and `valid`, bool, of
            shape (B, K, H, W); `kinds`, a list of length B.
        """
        count = self._recipe.head_batch
        rngs = [np.random.default_rng([self._seed, step, number + 1]) for number in range(count)]
        images, ground_truths = zip(*map(self._sample, rngs), strict=True)
        labels = np.stack(ground_truths)
        valid = labels != IGNORED
        return {
            "targets": torch.from_numpy(np.stack(images)),
            "target_masks": torch.from_numpy((labels * valid).astype(np.float32)),
            "valid": torch.from_numpy(valid),
            "kinds": [()] * count,
        }

    def _sample(self, rng: np.random.Generator) -> tuple[FloatArray, NDArray[np.uint8]]:
        """Draw an image, shape (3, H, W), and its ground truth, shape (K, H, W)."""
        recipe = self._recipe
        number, channel = self._occurrences[int(rng.integers(len(self._occurrences)))]
        ground_truth = self._ground_truths[number]
        allowed = ground_truth[channel] == 1
        if chance(rng, ANYWHERE):
            allowed = ground_truth[channel] != IGNORED
        pixel = random_pixel(rng, allowed)
        scale = self._zoom * log_uniform(rng, *recipe.head_zoom)
        crop = random_crop(rng, allowed.shape, pixel, recipe.head_crop / scale)
        shape, orientation = (recipe.head_crop, recipe.head_crop), int(rng.integers(8))
        appearance = Appearance.sample(rng) if chance(rng, recipe.disguised) else UNCHANGED
        image = appearance.apply(crop.extract(self._images[number], shape), rng)
        image = reorient(change_lighting(image, rng.normal(0, recipe.relit, 2)), orientation)
        planes = [reorient(crop.extract_labels(one, shape), orientation) for one in ground_truth]
        return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32), np.stack(planes)


def to_uint8_image(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Convert a frame, shape (3, Y, X), in 0..1 to uint8, shape (Y, X, 3), or (Y, X, 1) if gray."""
    planes = image[:1] if (image == image[:1]).all() else image
    converted: NDArray[np.uint8] = np.round(255 * planes.transpose(1, 2, 0)).astype(np.uint8)
    return converted


def random_pixel(rng: np.random.Generator, mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Draw row and column of a pixel of a mask."""
    pixels = np.flatnonzero(mask)
    row, column = divmod(int(pixels[rng.integers(len(pixels))]), mask.shape[1])
    return row, column


def random_crop(
    rng: np.random.Generator, shape: tuple[int, ...], pixel: tuple[int, int], side: float
) -> Crop:
    """Draw a slightly stretched crop of about `side` pixels in a frame, around a pixel."""
    stretch = log_uniform(rng, 0.87, 1.15)
    height, width = side * stretch, side / stretch
    # A frame smaller than the crop is enlarged with its aspect ratio unchanged.
    fit = min(1.0, shape[0] / height, shape[1] / width)
    return Crop.random(rng, (shape[0], shape[1]), (height * fit, width * fit), pixel)


def change_lighting(image: FloatArray, logarithms: NDArray[np.float64]) -> FloatArray:
    """Change gamma and gain, given by their logarithms."""
    gamma, gain = np.exp(logarithms).astype(np.float32)
    return np.asarray(np.clip(gain * image**gamma, 0, 1), dtype=np.float32)
