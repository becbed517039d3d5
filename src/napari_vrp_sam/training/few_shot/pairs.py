"""Which images are trained on together: a class of the other folds, annotated and sought."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.few_shot_sets import FewShotSet, Progress

EVENLY = frozenset({"coco20i"})
"""Data sets of which the published code draws classes evenly; of the others each image is a target
once an epoch, for every class on it."""


@dataclass(frozen=True)
class TrainingPair:
    """One episode of training.

    Attributes
    ----------
    number : int
        Of the run; with its seed the seed of whatever else is drawn.
    class_id : int
    references : tuple of str
        Image ids.
    target : str
        Another image's.
    """

    number: int
    class_id: int
    references: tuple[str, ...]
    target: str


class TrainingPairs:
    """Episodes of one epoch after the other, a function of seed and number alone.

    Images are those of the `train` split that show a class of the other folds. Whatever else is on
    them is background, classes of this fold included, as in the loaders of HSNet and the paper.

    Parameters
    ----------
    data : FewShotSet
    fold : int
        0..3, whose classes are not trained on.
    references : int, default 1
    seed : int, default 0
    progress : callable, optional
        Told how far the search for classes is.

    Raises
    ------
    InputError
        If there is no such fold, or no class to learn from.
    """

    def __init__(
        self,
        data: FewShotSet,
        fold: int,
        *,
        references: int = 1,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        base = data.base(fold)
        showing = data.showing("train", progress)
        self._showing = {c: showing[c] for c in base if len(showing.get(c, ())) > references}
        if not self._showing:
            raise InputError(
                f"No class outside fold {fold} is on more than {references} images of {data.root}."
            )
        self._evenly = data.name in EVENLY
        self._targets = [(c, image_id) for c, ids in self._showing.items() for image_id in ids]
        self._references = references
        self._seed = seed

    @cached_property
    def images(self) -> tuple[str, ...]:
        """All that can be a target, sorted."""
        return tuple(sorted({image_id for _, image_id in self._targets}))

    @property
    def epoch(self) -> int:
        """Episodes of an epoch; their numbers go on beyond it."""
        return len(self.images) if self._evenly else len(self._targets)

    def pair(self, number: int) -> TrainingPair:
        """The episode of a number, from 0 on."""
        rng = np.random.default_rng([self._seed, number])
        if self._evenly:
            class_id = list(self._showing)[int(rng.integers(len(self._showing)))]
            target = str(rng.choice(self._showing[class_id]))
        else:
            epoch, at = divmod(number, self.epoch)
            class_id, target = self._targets[_order(self._seed, epoch, self.epoch)[at]]
        others = [image_id for image_id in self._showing[class_id] if image_id != target]
        shown = rng.choice(len(others), self._references, replace=False)
        return TrainingPair(number, class_id, tuple(others[int(at)] for at in shown), target)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The targets of an epoch, shuffled."""
    return np.random.default_rng([seed, epoch, count]).permutation(count)
