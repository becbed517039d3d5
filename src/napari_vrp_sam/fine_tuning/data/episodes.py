"""Episodes of annotated frames: a few references and a target from random crops."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.fine_tuning.data.annotated_frames import AnnotatedFrame
from napari_vrp_sam.fine_tuning.data.crops import (
    UNCHANGED,
    change_lighting,
    random_crop,
    random_pixel,
    to_uint8_image,
)
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.training.augmentation import Appearance, Crop, reorient
from napari_vrp_sam.training.episode import Episode, EpisodeSource
from napari_vrp_sam.training.episodes import EpisodeStream, SyntheticEpisodes
from napari_vrp_sam.training.synthetic.parts.draws import chance, log_uniform

MAX_TRIES = 6
COVERAGE = (0.002, 0.9)
"""Minimum and maximum share of a reference crop that the class covers."""

COMMON_ORIENTATION = 0.6
"""Share of episodes in which all frames have the same random orientation."""


class PooledEpisodes:
    """A fixed number of episodes of a source, in random order."""

    def __init__(self, source: EpisodeSource, count: int) -> None:
        self.source = source
        self.count = count

    def sample(self, rng: np.random.Generator, references: int = 1, targets: int = 2) -> Episode:
        """Draw one of the episodes; see `EpisodeSource.sample`."""
        number = int(rng.integers(self.count))
        return self.source.sample(np.random.default_rng(number), references, targets)


class AnnotatedEpisodes:
    """Episodes of square crops; references and targets are on different frames where possible."""

    def __init__(
        self, frames: Sequence[AnnotatedFrame], recipe: FineTuningRecipe, side: int
    ) -> None:
        self._frames = frames
        self._recipe = recipe
        self._side = side
        self._class_ids = sorted({c for frame in frames for c in frame.informative_classes})
        self._images = [to_uint8_image(frame.image) for frame in frames]  # quick to crop and resize

    def sample(self, rng: np.random.Generator, references: int = 1, targets: int = 2) -> Episode:
        """Draw an episode of one class; see `EpisodeSource.sample`."""
        recipe, shape = self._recipe, (self._side, self._side)
        class_id = self._class_ids[int(rng.integers(len(self._class_ids)))]
        frames = self._draw_frames(rng, class_id, references, targets)
        same_orientation = chance(rng, COMMON_ORIENTATION)
        orientations = rng.integers(0, 8, len(frames))
        zoom = log_uniform(rng, *recipe.zoom)
        appearance = Appearance.sample(rng) if chance(rng, recipe.disguised) else None
        lighting = rng.normal(0, recipe.relit, 2)
        images, masks, ground_truths = [], [], []
        for number, index in enumerate(frames):
            scale = zoom * log_uniform(rng, 0.87, 1.15)
            annotation = self._frames[index].annotations[class_id]
            ground_truth = annotation.ground_truth
            crop = self._draw_crop(rng, ground_truth, scale, is_reference=number < references)
            orientation = int(orientations[0 if same_orientation else number])
            changed = appearance.jittered(rng) if appearance else UNCHANGED
            image = changed.apply(crop.extract(self._images[index], shape), rng)
            image = change_lighting(image, lighting + rng.normal(0, 0.03, 2))
            images.append(reorient(image, orientation))
            mask = np.round(255 * annotation.mask).astype(np.uint8)
            masks.append(reorient(crop.extract_labels(mask, shape), orientation))
            ground_truths.append(reorient(crop.extract_labels(ground_truth, shape), orientation))
        kinds = tuple(self._frames[i].annotations[class_id].kind for i in frames[:references])
        stacked = np.stack(images).transpose(0, 3, 1, 2)
        # Around the other kinds, pixels are unknown by definition.
        ignored = [
            (ground_truth == IGNORED) & (kind == "mask")
            for ground_truth, kind in zip(ground_truths, kinds, strict=False)
        ]
        return Episode(
            references=np.ascontiguousarray(stacked[:references], dtype=np.float32),
            reference_masks=np.stack(masks[:references]).astype(np.float32) / np.float32(255),
            kinds=kinds,
            targets=np.ascontiguousarray(stacked[references:], dtype=np.float32),
            target_masks=np.stack(ground_truths[references:]),
            source="annotated",
            reference_ignored=np.stack(ignored),
        )

    def _draw_frames(
        self, rng: np.random.Generator, class_id: int, references: int, targets: int
    ) -> list[int]:
        """Draw the indices of the frames of references and targets."""
        informative = [
            i for i, frame in enumerate(self._frames) if class_id in frame.informative_classes
        ]
        annotated = [i for i, frame in enumerate(self._frames) if class_id in frame.annotations]
        order = [informative[i] for i in rng.permutation(len(informative))]
        drawn = [order[i % len(order)] for i in range(references)]
        others = [i for i in annotated if i not in drawn] or annotated
        return drawn + [others[int(rng.integers(len(others)))] for _ in range(targets)]

    def _draw_crop(
        self,
        rng: np.random.Generator,
        ground_truth: np.ndarray,
        scale: float,
        *,
        is_reference: bool,
    ) -> Crop:
        """Draw a crop that shows the class, as all references and most targets do."""
        allowed = ground_truth == 1
        if not is_reference and (not allowed.any() or chance(rng, 0.25)):
            allowed = ground_truth != IGNORED
        for _ in range(MAX_TRIES):
            pixel = random_pixel(rng, allowed)
            crop = random_crop(rng, allowed.shape, pixel, self._side / scale)
            labels = crop.extract_labels(ground_truth, (self._side, self._side))
            covered = float((labels == 1).mean())
            if not is_reference or COVERAGE[0] <= covered <= COVERAGE[1]:
                break
            if covered > COVERAGE[1]:
                scale *= 0.7  # zoom out of the inside of an object
        return crop


def episode_stream(
    frames: Sequence[AnnotatedFrame],
    seed: int,
    recipe: FineTuningRecipe,
    *,
    side: int,
    pool: int | None = None,
) -> EpisodeStream:
    """Return batches of episodes of annotated frames and synthetic scenes.

    Crops are `side` pixels high and wide. There are only `pool` different episodes if the features
    of earlier episodes are reused.
    """
    annotated: EpisodeSource = AnnotatedEpisodes(frames, recipe, side)
    synthetic: EpisodeSource = SyntheticEpisodes((side, side))
    if pool is not None:
        annotated = PooledEpisodes(annotated, pool)
        synthetic = PooledEpisodes(synthetic, max(1, round(recipe.synthetic * pool)))
    return EpisodeStream(
        [(annotated, 1 - recipe.synthetic), (synthetic, recipe.synthetic)],
        sys.maxsize,  # the training loop knows when to stop
        batch_size=recipe.batch_size,
        references=range(1, min(recipe.shots, len(frames)) + 1),
        targets=1,
        seed=seed,
    )
