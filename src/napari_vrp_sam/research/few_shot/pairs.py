"""Which images are trained on together: a class of the other folds, annotated and sought."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.few_shot_sets import FOLDS, FewShotSet, Progress


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

    Images are those of the `train` split that show a class of the other folds and none of this, as
    in the lists of the paper's code. An epoch has as many episodes as there are such images; each
    is the target of one, with one of the classes on it, unless the data set draws classes evenly.

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
        novel = set(data.novel(fold))
        areas = data.areas("train", progress)
        kept = {image_id for image_id, of in areas.items() if not novel & of.keys()}
        shown = {c: [i for i in ids if i in kept] for c, ids in data.showing("train").items()}
        self._showing = {c: ids for c, ids in shown.items() if len(ids) > references}
        if not self._showing:
            raise InputError(
                f"No class outside fold {fold} is on more than {references} images of {data.root} "
                "that show none of the fold."
            )
        self._on = {i: [c for c in areas[i] if c in self._showing] for i in self.images}
        self._evenly = data.evenly
        self._references = references
        self._seed = seed

    @cached_property
    def images(self) -> tuple[str, ...]:
        """All that can be a target, sorted."""
        return tuple(sorted({image_id for ids in self._showing.values() for image_id in ids}))

    @property
    def epoch(self) -> int:
        """Episodes of an epoch; their numbers go on beyond it."""
        return len(self.images)

    def pair(self, number: int) -> TrainingPair:
        """The episode of a number, from 0 on."""
        rng = np.random.default_rng([self._seed, number])
        if self._evenly:
            class_id = list(self._showing)[int(rng.integers(len(self._showing)))]
            target = str(rng.choice(self._showing[class_id]))
        else:
            epoch, at = divmod(number, self.epoch)
            target = self.images[_order(self._seed, epoch, self.epoch)[at]]
            class_id = self._on[target][int(rng.integers(len(self._on[target])))]
        others = [image_id for image_id in self._showing[class_id] if image_id != target]
        shown = rng.choice(len(others), self._references, replace=False)
        return TrainingPair(number, class_id, tuple(others[int(at)] for at in shown), target)


def groups_of(data: FewShotSet) -> list[tuple[str, ...]]:
    """Images to learn from, those that the same folds leave out together."""
    fold_of = {class_id: fold for fold in range(FOLDS) for class_id in data.novel(fold)}
    groups: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for image_id, areas in data.areas("train").items():
        groups[tuple(sorted({fold_of[class_id] for class_id in areas}))].append(image_id)
    return [tuple(groups[key]) for key in sorted(groups)]


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The targets of an epoch, shuffled."""
    return np.random.default_rng([seed, epoch, count]).permutation(count)
