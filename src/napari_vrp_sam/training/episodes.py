"""Episodes of synthetic scenes, and the stream of batches that training reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.training.augmentation import turn
from napari_vrp_sam.training.episode import Episode, EpisodeSource, collate, make_episode
from napari_vrp_sam.training.stream import StepStream
from napari_vrp_sam.training.synthetic import SyntheticScenes
from napari_vrp_sam.training.synthetic.draws import chance

__all__ = [
    "Episode",
    "EpisodeSource",
    "EpisodeStream",
    "SyntheticEpisodes",
    "collate",
]


class SyntheticEpisodes:
    """Episodes of procedural scenes; parameters are those of `SyntheticScenes`."""

    def __init__(self, shape: tuple[int, int] = (256, 256), **options: Any) -> None:
        self.scenes = SyntheticScenes(shape, **options)

    def sample(self, rng: np.random.Generator, references: int = 1, targets: int = 2) -> Episode:
        """An episode of one world; see `EpisodeSource.sample`."""
        scenes = self.scenes.sample(rng, references, targets)
        turns = draw_orientations(rng, references + targets, common=0.8)
        images = [turn(image, k) for image, k in zip(scenes.images, turns, strict=True)]
        labels = [turn(mask, k) for mask, k in zip(scenes.masks, turns, strict=True)]
        return make_episode(images, labels, references, rng, f"synthetic/{scenes.world}")


def draw_orientations(rng: np.random.Generator, count: int, common: float) -> list[int]:
    """Orientations for `turn`; all frames have the same with probability `common`."""
    if chance(rng, common):
        return [int(rng.integers(8))] * count
    return [int(k) for k in rng.integers(0, 8, count)]


class EpisodeStream(StepStream):
    """Batches of episodes, a function of seed and step alone.

    Parameters
    ----------
    sources : sequence of (EpisodeSource, float)
        Sources with their shares.
    steps : int
        Step at which the stream ends.
    batch_size : int, default: 8
    references : sequence of int, default: (1,)
        Numbers of references; each batch draws one of them.
    targets : int, default: 2
    seed : int, default: 0
    start : int, default: 0
        First step.
    rank : int, default: 0
        Number of the device among several: each draws episodes of its own, which follow those of
        the ones before it.

    Yields
    ------
    dict
        As `collate` makes it, and ``step``.

    Raises
    ------
    InputError
        If there is no source.
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
        """The batch of one step."""
        shots = np.random.default_rng([self.seed, step])
        references = int(shots.choice(self.references))
        episodes = []
        before = self.rank * self.batch_size
        for number in range(before, before + self.batch_size):
            # every episode has numbers of its own, so that none depends on its neighbours
            rng = np.random.default_rng([self.seed, step, number + 1])
            source = self.sources[int(rng.choice(len(self.sources), p=self._shares))]
            episodes.append(source.sample(rng, references, self.targets))
        return {**collate(episodes), "step": step}
