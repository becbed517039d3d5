"""Sampling of the paper's training episodes: references and target share a base class."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.few_shot_sets import (
    FOLDS,
    FewShotDataset,
    FewShotEpisode,
    Progress,
)


class EpisodeSampler:
    """Training episodes that depend only on seed and number.

    Images are those of the `train` split that contain a base class and no novel class of the fold,
    as in the lists of the paper's code. An epoch has one episode for each of these images, which is
    its target, with one of its classes; or, if the dataset is balanced, as many episodes of random
    classes and targets.

    Parameters
    ----------
    data : FewShotDataset
    fold : int
        Fold, 0..3, whose classes are excluded.
    references : int, default: 1
        References per episode.
    seed : int, default: 0
    progress : callable, optional
        Called with a message during the search for classes.

    Attributes
    ----------
    image_ids : tuple of str
        Images of which each can be a target, sorted; their number is the length of an epoch.

    Raises
    ------
    InputError
        If there is no such fold, or no class to train on.
    """

    def __init__(
        self,
        data: FewShotDataset,
        fold: int,
        *,
        references: int = 1,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        novel = set(data.novel_classes(fold))
        areas = data.class_areas("train", progress)
        usable = {image_id for image_id, of in areas.items() if not novel & of.keys()}
        listed = data.images_by_class("train")
        by_class = {c: [i for i in ids if i in usable] for c, ids in listed.items()}
        self._images = {c: ids for c, ids in by_class.items() if len(ids) > references}
        if not self._images:
            raise InputError(
                f"No class outside fold {fold} is on more than {references} images of {data.root} "
                "without classes of the fold: choose fewer references."
            )
        self.image_ids = tuple(sorted({i for ids in self._images.values() for i in ids}))
        self._classes = {i: [c for c in areas[i] if c in self._images] for i in self.image_ids}
        self._balanced = data.balanced
        self._references = references
        self._seed = seed

    def episode(self, number: int) -> FewShotEpisode:
        """Draw the episode of a number, which continues over the epochs."""
        rng = np.random.default_rng([self._seed, number])
        if self._balanced:
            class_id = list(self._images)[int(rng.integers(len(self._images)))]
            target = str(rng.choice(self._images[class_id]))
        else:
            epoch, index = divmod(number, len(self.image_ids))
            target = self.image_ids[_shuffled(self._seed, epoch, len(self.image_ids))[index]]
            class_id = self._classes[target][int(rng.integers(len(self._classes[target])))]
        others = [image_id for image_id in self._images[class_id] if image_id != target]
        drawn = rng.choice(len(others), self._references, replace=False)
        return FewShotEpisode(class_id, tuple(others[int(i)] for i in drawn), target, number)


def group_by_fold(data: FewShotDataset) -> list[tuple[str, ...]]:
    """Group the training images by the folds whose classes they contain."""
    fold_of = {class_id: fold for fold in range(FOLDS) for class_id in data.novel_classes(fold)}
    groups: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for image_id, areas in data.class_areas("train").items():
        groups[tuple(sorted({fold_of[class_id] for class_id in areas}))].append(image_id)
    return [tuple(groups[key]) for key in sorted(groups)]


@lru_cache(maxsize=2)
def _shuffled(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch, count]).permutation(count)
