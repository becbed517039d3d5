"""Crops of one's own annotated frames for a dense head: all classes of each at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.fine_tuning.data.annotated_frames import AnnotatedFrame
from napari_vrp_sam.fine_tuning.data.episodes import to_uint8_image, relit
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.training.augmentation import Appearance, Crop, reorient
from napari_vrp_sam.training.synthetic.draws import chance, log_uniform

ELSEWHERE = 0.3
"""Share of crops that lie anywhere rather than on a class."""


class CropStream:
    """Batches of crops, a function of seed and step alone.

    Parameters
    ----------
    frames : sequence of AnnotatedFrame
    class_ids : sequence of int
        The K classes, in the order of the head's channels.
    recipe : FineTuningRecipe
    seed : int
    """

    def __init__(
        self,
        frames: Sequence[AnnotatedFrame],
        class_ids: Sequence[int],
        recipe: FineTuningRecipe,
        seed: int,
    ) -> None:
        self._frames = frames
        self._recipe = recipe
        self._seed = seed
        self._pictures = [to_uint8_image(frame.image) for frame in frames]
        self._truths = [
            np.stack(
                [
                    frame.marks[c].ground_truth
                    if c in frame.marks
                    else np.full(frame.shape, IGNORED, np.uint8)
                    for c in class_ids
                ]
            )
            for frame in frames
        ]
        # Where each class can be looked for: frame and channel.
        self._places = [
            (number, channel)
            for number, ground_truth in enumerate(self._truths)
            for channel in range(len(class_ids))
            if (ground_truth[channel] == 1).any()
        ]

    def batch(self, step: int) -> dict[str, Any]:
        """The batch of one step.

        Returns
        -------
        dict
            `targets`, float32 of shape (B, 3, H, W); `target_masks`, float32, and `valid`, bool, of
            shape (B, K, H, W); `kinds`, a list of length B.
        """
        images, truths = [], []
        for number in range(self._recipe.head_batch):
            rng = np.random.default_rng([self._seed, step, number + 1])
            image, ground_truth = self._crop(rng)
            images.append(image)
            truths.append(ground_truth)
        labels = np.stack(truths)
        valid = labels != IGNORED
        return {
            "targets": torch.from_numpy(np.stack(images)),
            "target_masks": torch.from_numpy((labels * valid).astype(np.float32)),
            "valid": torch.from_numpy(valid),
            "kinds": [()] * len(images),
        }

    def _crop(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Image (3, H, W) and truth (K, H, W)."""
        recipe = self._recipe
        index, channel = self._places[int(rng.integers(len(self._places)))]
        ground_truth, shape = self._truths[index], self._frames[index].shape
        sought = np.flatnonzero(ground_truth[channel] == 1)
        if chance(rng, ELSEWHERE):
            sought = np.flatnonzero(ground_truth[channel] != IGNORED)
        row, column = divmod(int(sought[rng.integers(len(sought))]), shape[1])
        scale, stretch = log_uniform(rng, *recipe.head_zoom), log_uniform(rng, 0.87, 1.15)
        size = (recipe.size / scale * stretch, recipe.size / scale / stretch)
        fit = min(1.0, shape[0] / size[0], shape[1] / size[1])
        window = Crop.random(rng, shape, (size[0] * fit, size[1] * fit), (row, column))
        crop, orientation = (recipe.size, recipe.size), int(rng.integers(8))
        look = Appearance.sample(rng) if chance(rng, recipe.disguised) else None
        picture = window.extract(self._pictures[index], crop)
        plain = Appearance((0, 1, 2), np.ones(3, np.float32), None)
        image = relit((look or plain).apply(picture, rng), rng.normal(0, recipe.relit, 2))
        image = reorient(image, orientation)
        cut = [reorient(window.extract_labels(one, crop), orientation) for one in ground_truth]
        return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32), np.stack(cut)
