"""Episodes of one's own annotated frames: many crops out of few."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.fine_tuning.data.annotated_frames import AnnotatedFrame
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.training.augmentation import Appearance, Crop, reorient
from napari_vrp_sam.training.episode import Episode, EpisodeSource
from napari_vrp_sam.training.episodes import EpisodeStream, SyntheticEpisodes
from napari_vrp_sam.training.synthetic.draws import FloatArray, chance, log_uniform

TRIES = 6
COVERAGE = (0.002, 0.9)
"""Shares of a reference's crop that its class may take."""

TURNED_ALIKE = 0.6
"""Share of episodes whose frames are all turned in one way."""


class PooledEpisodes:
    """The first so many episodes of a source, drawn again and again.

    Parameters
    ----------
    source : EpisodeSource
    count : int
    """

    def __init__(self, source: EpisodeSource, count: int) -> None:
        self.source = source
        self.count = count

    def sample(self, rng: np.random.Generator, references: int = 1, targets: int = 2) -> Episode:
        """One of them; see `EpisodeSource.sample`."""
        number = int(rng.integers(self.count))
        return self.source.sample(np.random.default_rng(number), references, targets)


class AnnotatedEpisodes:
    """Episodes of crops; reference and target come from different crops, or different frames.

    Parameters
    ----------
    frames : sequence of AnnotatedFrame
        At least one tells a class from what it is not.
    recipe : FineTuningRecipe
    crop : int
        Height and width of the crops in pixels.
    """

    def __init__(
        self, frames: Sequence[AnnotatedFrame], recipe: FineTuningRecipe, crop: int
    ) -> None:
        self.frames = frames
        self.recipe = recipe
        self.shape = (crop, crop)
        self.class_ids = sorted({c for frame in frames for c in frame.informative})
        # As pictures, which are quickly cut and resized.
        self._pictures = [to_uint8_image(frame.image) for frame in frames]

    def sample(self, rng: np.random.Generator, references: int = 1, targets: int = 2) -> Episode:
        """An episode of one class; see `EpisodeSource.sample`."""
        class_id = self.class_ids[int(rng.integers(len(self.class_ids)))]
        showing = [i for i, frame in enumerate(self.frames) if class_id in frame.informative]
        annotated = [i for i, frame in enumerate(self.frames) if class_id in frame.marks]
        order = [showing[i] for i in rng.permutation(len(showing))]
        drawn = [order[i % len(order)] for i in range(references)]
        others = [i for i in annotated if i not in drawn] or annotated
        drawn += [others[int(rng.integers(len(others)))] for _ in range(targets)]
        alike = chance(rng, TURNED_ALIKE)
        orientations = rng.integers(0, 8, len(drawn))
        zoom = log_uniform(rng, *self.recipe.zoom)
        look = Appearance.sample(rng) if chance(rng, self.recipe.disguised) else None
        light = rng.normal(0, self.recipe.relit, 2)
        images, masks, truths = [], [], []
        for number, index in enumerate(drawn):
            scale = zoom * log_uniform(rng, 0.87, 1.15)
            window = self._window(index, class_id, scale, rng, required=number < references)
            marks = self.frames[index].marks[class_id]
            orientation = int(orientations[0 if alike else number])
            picture = window.extract(self._pictures[index], self.shape)
            image = (look.jittered(rng) if look else Appearance((0, 1, 2), _ONES, None)).apply(
                picture, rng
            )
            images.append(reorient(relit(image, light + rng.normal(0, 0.03, 2)), orientation))
            drawing = np.round(255 * marks.mask).astype(np.uint8)
            masks.append(reorient(window.extract_labels(drawing, self.shape), orientation))
            truths.append(reorient(window.extract_labels(marks.ground_truth, self.shape), orientation))
        kinds = tuple(self.frames[i].marks[class_id].kind for i in drawn[:references])
        stacked = np.stack(images).transpose(0, 3, 1, 2)
        # Of the other kinds, their name says what is not known.
        unknown = [
            (ground_truth == IGNORED) & (kind == "mask")
            for ground_truth, kind in zip(truths, kinds, strict=False)
        ]
        return Episode(
            references=np.ascontiguousarray(stacked[:references], dtype=np.float32),
            reference_masks=np.stack(masks[:references]).astype(np.float32) / np.float32(255),
            kinds=kinds,
            targets=np.ascontiguousarray(stacked[references:], dtype=np.float32),
            target_masks=np.stack(truths[references:]),
            source="own",
            reference_ignored=np.stack(unknown),
        )

    def _window(
        self, index: int, class_id: int, scale: float, rng: np.random.Generator, *, required: bool
    ) -> Crop:
        """What to see of a frame: some of the class, of a reference as well as of most targets."""
        ground_truth = self.frames[index].marks[class_id].ground_truth
        shape = self.frames[index].shape
        sought = np.flatnonzero(ground_truth == 1)
        if not required and (not len(sought) or chance(rng, 0.25)):
            sought = np.flatnonzero(ground_truth != IGNORED)
        window = None
        for _ in range(TRIES):
            row, column = divmod(int(sought[rng.integers(len(sought))]), shape[1])
            stretch = log_uniform(rng, 0.87, 1.15)
            size = (self.shape[0] / scale * stretch, self.shape[1] / scale / stretch)
            # A frame smaller than the window is enlarged; its proportions stay.
            fit = min(1.0, shape[0] / size[0], shape[1] / size[1])
            window = Crop.random(rng, shape, (size[0] * fit, size[1] * fit), (row, column))
            seen = window.extract_labels(ground_truth, self.shape) == 1
            covered = float(seen.mean())
            if not required or COVERAGE[0] <= covered <= COVERAGE[1]:
                break
            if covered > COVERAGE[1]:
                scale *= 0.7  # see more than the inside of one object
        assert window is not None
        return window


_ONES = np.ones(3, dtype=np.float32)


def to_uint8_image(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A frame (3, Y, X) in 0..1 as (Y, X, 3), or (Y, X, 1) where all channels are the same."""
    planes = image[:1] if (image == image[:1]).all() else image
    picture: NDArray[np.uint8] = np.round(255 * planes.transpose(1, 2, 0)).astype(np.uint8)
    return picture


def relit(image: FloatArray, light: NDArray[np.float64]) -> FloatArray:
    """Another light: logarithms of gamma and gain."""
    gamma, gain = np.exp(light).astype(np.float32)
    return np.asarray(np.clip(gain * image**gamma, 0, 1), dtype=np.float32)


def episode_stream(
    frames: Sequence[AnnotatedFrame],
    steps: int,
    seed: int,
    recipe: FineTuningRecipe,
    *,
    crop: int,
    pool: int | None = None,
) -> EpisodeStream:
    """Batches of episodes of frames and of synthetic worlds: a function of seed and step.

    Parameters
    ----------
    frames : sequence of AnnotatedFrame
    steps, seed : int
    recipe : FineTuningRecipe
    crop : int
        Height and width of crops in pixels.
    pool : int, optional
        Number of different episodes, where seeing one again costs less.
    """
    own: EpisodeSource = AnnotatedEpisodes(frames, recipe, crop)
    synthetic: EpisodeSource = SyntheticEpisodes((crop, crop))
    if pool is not None:
        own = PooledEpisodes(own, pool)
        synthetic = PooledEpisodes(synthetic, max(1, round(recipe.synthetic * pool)))
    return EpisodeStream(
        [(own, 1 - recipe.synthetic), (synthetic, recipe.synthetic)],
        steps,
        batch_size=recipe.batch_size,
        references=range(1, min(recipe.shots, len(frames)) + 1),
        targets=1,
        seed=seed,
    )
