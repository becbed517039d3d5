"""Synthetic episodes, and the stream of batches that training reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.training.augmentation import reorient
from napari_vrp_sam.training.episode import Episode, EpisodeSource, collate, make_episode
from napari_vrp_sam.training.stream import StepStream
from napari_vrp_sam.training.synthetic.parts.draws import chance
from napari_vrp_sam.training.synthetic.scenes import SyntheticScenes


class SyntheticEpisodes:
    """Episodes of procedural scenes; takes the parameters of `SyntheticScenes`."""

    def __init__(self, shape: tuple[int, int] = (256, 256), **options: Any) -> None:
        self.scenes = SyntheticScenes(shape, **options)

    def sample(self, rng: np.random.Generator, references: int = 1, targets: int = 2) -> Episode:
        """Draw an episode of one world; see `EpisodeSource.sample`."""
        scenes = self.scenes.sample(rng, references, targets)
        orientations = draw_orientations(rng, references + targets, common=0.8)
        images = [reorient(i, k) for i, k in zip(scenes.images, orientations, strict=True)]
        labels = [reorient(m, k) for m, k in zip(scenes.masks, orientations, strict=True)]
        return make_episode(images, labels, references, rng, f"synthetic/{scenes.world}")


def draw_orientations(rng: np.random.Generator, count: int, common: float) -> list[int]:
    """Draw orientations for `reorient`; with probability `common` all frames share one."""
    if chance(rng, common):
        return [int(rng.integers(8))] * count
    return [int(k) for k in rng.integers(0, 8, count)]


class EpisodeStream(StepStream):
    """Batches of episodes that depend only on seed and step.

    Parameters
    ----------
    sources : sequence of (EpisodeSource, float)
        Sources and their relative shares.
    steps : int
        Step at which the stream ends.
    batch_size : int, default: 8
        Episodes per batch.
    references : sequence of int, default: (1,)
        Numbers of references, of which each batch draws one.
    targets : int, default: 2
        Targets per episode.
    seed : int, default: 0
    start : int, default: 0
        First step.
    rank : int, default: 0
        Index of this device. Ranks 0, 1, ... split the batch that a single device with a
        correspondingly larger batch size would see.

    Yields
    ------
    dict
        Result of `collate`, and ``step``.

    Raises
    ------
    InputError
        If no source has a share above 0.
    """

    def __init__(
        self,
        sources: Sequence[tuple[EpisodeSource, float]],
        steps: int,
        *,
        batch_size: int = 8,
        references: Sequence[int] = (1,),
        targets: int = 2,
        seed: int = 0,
        start: int = 0,
        rank: int = 0,
    ) -> None:
        super().__init__(steps, start)
        if not sources or sum(share for _, share in sources) <= 0:
            raise InputError("An episode stream needs a source with a share above 0.")
        self.sources = [source for source, _ in sources]
        shares = np.array([share for _, share in sources], dtype=float)
        self._shares = shares / shares.sum()
        self.batch_size = batch_size
        self.references = tuple(references)
        self.targets = targets
        self.seed = seed
        self.rank = rank

    def batch(self, step: int) -> dict[str, Any]:
        """Return the batch of one step."""
        references = int(np.random.default_rng([self.seed, step]).choice(self.references))
        episodes = []
        first = self.rank * self.batch_size
        for number in range(first, first + self.batch_size):
            # Each episode is seeded on its own, so that it does not depend on the batch size.
            rng = np.random.default_rng([self.seed, step, number + 1])
            source = self.sources[int(rng.choice(len(self.sources), p=self._shares))]
            episodes.append(source.sample(rng, references, self.targets))
        return {**collate(episodes), "step": step}
