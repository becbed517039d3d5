"""Protocol of few-shot segmentation (paper, section 4.1): episodes, mIoU and FB-IoU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
from napari_vrp_sam.annotations.simulate import simulate_annotation
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.few_shot_sets import FewShotDataset, FewShotEpisode

EPISODES = 1000
"""Number of episodes per fold, as published."""

FewShotMethod = Callable[[NDArray[np.uint8], Sequence[Reference]], NDArray[np.bool_]]
"""Maps an image, shape (Y, X, 3), and references of one class to its mask, shape (Y, X)."""


class FewShotScores:
    """Intersections and unions of each class, summed over all episodes.

    Parameters
    ----------
    class_ids : sequence of int
        Novel classes of the fold.
    """

    def __init__(self, class_ids: Sequence[int]) -> None:
        self.class_ids = tuple(class_ids)
        # Columns: background, foreground.
        self._intersections = np.zeros((len(self.class_ids), 2), np.int64)
        self._unions = np.zeros((len(self.class_ids), 2), np.int64)

    def add(
        self, class_id: int, prediction: NDArray[np.bool_], ground_truth: NDArray[np.uint8]
    ) -> None:
        """Add an episode.

        Parameters
        ----------
        class_id : int
        prediction : ndarray of bool, shape (Y, X)
        ground_truth : ndarray of uint8, shape (Y, X)
            1 on the class, 0 elsewhere; 255 is ignored.
        """
        row, valid = self.class_ids.index(class_id), ground_truth != IGNORED
        for column, mask in ((0, ~prediction), (1, prediction)):
            expected = ground_truth == column
            self._intersections[row, column] += np.count_nonzero(mask & expected & valid)
            self._unions[row, column] += np.count_nonzero((mask | expected) & valid)

    @property
    def ious(self) -> dict[int, float]:
        """IoU of each class that occurred in an episode."""
        return {
            class_id: float(overlap[1] / union[1])
            for class_id, overlap, union in zip(
                self.class_ids, self._intersections, self._unions, strict=True
            )
            if union[1]
        }

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes (mIoU); NaN without episodes."""
        return float(np.mean(list(self.ious.values()))) if self.ious else float("nan")

    @property
    def fb_iou(self) -> float:
        """Mean of the IoU of foreground and of background, regardless of class (FB-IoU)."""
        unions = self._unions.sum(axis=0)
        return float(np.mean(self._intersections.sum(axis=0) / np.maximum(unions, 1)))


def sample_episodes(
    data: FewShotDataset,
    fold: int,
    *,
    classes: Sequence[int] | None = None,
    count: int = EPISODES,
    references: int = 1,
    seed: int = 0,
) -> Iterator[FewShotEpisode]:
    """Draw episodes of a fold's novel classes, each of which depends only on seed and number.

    As in the published code, balanced datasets (COCO-20i) draw a class and then its images; others
    (Pascal-5i) iterate over the images and draw one of the classes of each.

    Parameters are those of `evaluate_methods`.

    Raises
    ------
    InputError
        If no novel class occurs on enough images.
    """
    images = data.images_by_class("test")
    wanted = data.novel_classes(fold) if classes is None else classes
    usable = [c for c in wanted if len(images.get(c, ())) > references]
    if not usable:
        raise InputError(
            f"No class of fold {fold} is on more than {references} images of {data.root}."
        )
    areas = data.class_areas("test")
    listed = {image_id for class_id in usable for image_id in images[class_id]}
    targets = [image_id for image_id in areas if image_id in listed]
    for number in range(count):
        rng = np.random.default_rng([seed, fold, number])
        if data.balanced:
            class_id = usable[int(rng.integers(len(usable)))]
            drawn = rng.choice(len(images[class_id]), references + 1, replace=False)
            target, *shots = (images[class_id][int(i)] for i in drawn)
        else:
            target = targets[number % len(targets)]
            candidates = [c for c in areas[target] if c in usable]
            class_id = candidates[int(rng.integers(len(candidates)))]
            others = [image_id for image_id in images[class_id] if image_id != target]
            drawn = rng.choice(len(others), references, replace=False)
            shots = [others[int(i)] for i in drawn]
        yield FewShotEpisode(class_id, tuple(shots), target, number)


def evaluate_methods(
    data: FewShotDataset,
    fold: int,
    methods: Mapping[str, FewShotMethod],
    *,
    classes: Sequence[int] | None = None,
    count: int = EPISODES,
    references: int = 1,
    kind: AnnotationKind = "mask",
    seed: int = 0,
    progress: Callable[[int, Mapping[str, FewShotScores]], None] | None = None,
) -> dict[str, FewShotScores]:
    """Evaluate methods on the same episodes.

    Parameters
    ----------
    data : FewShotDataset
    fold : int
        Fold, 0..3.
    methods : mapping of str to callable
        Methods by name.
    classes : sequence of int, optional
        Classes to evaluate; default: the novel classes of the fold.
    count : int
        Number of episodes.
    references : int
        References per episode.
    kind : {"mask", "box", "scribble", "point"}
        Kind of the annotations, which are simulated from the masks.
    seed : int
        Seed of episodes and annotations.
    progress : callable, optional
        Called after each episode with the number of episodes and the scores so far.

    Returns
    -------
    dict of str to FewShotScores
        Scores by name of the method.

    Raises
    ------
    InputError
        If data is missing, or no novel class occurs on enough images.
    """
    classes = data.novel_classes(fold) if classes is None else classes
    scores = {name: FewShotScores(classes) for name in methods}
    episodes = sample_episodes(
        data, fold, classes=classes, count=count, references=references, seed=seed
    )
    for done, episode in enumerate(episodes, start=1):
        shots = [
            _reference(data, image_id, episode.class_id, kind, [seed, episode.number, shot])
            for shot, image_id in enumerate(episode.references)
        ]
        image = data.image("test", episode.target)
        ground_truth = data.mask("test", episode.target, episode.class_id)
        for name, segment in methods.items():
            scores[name].add(episode.class_id, segment(image, shots), ground_truth)
        if progress:
            progress(done, scores)
    return scores


def _reference(
    data: FewShotDataset, image_id: str, class_id: int, kind: AnnotationKind, seed: Sequence[int]
) -> Reference:
    labels = data.mask("test", image_id, class_id)
    annotation = simulate_annotation(labels == 1, kind, np.random.default_rng(seed))
    # The unlabelled outlines in VOC are neither foreground nor background.
    ignored = labels == IGNORED if kind == "mask" else None
    return Reference(data.image("test", image_id), annotation, 1, kind, ignored=ignored)
