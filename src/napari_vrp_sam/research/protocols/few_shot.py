"""The protocol of few-shot segmentation (paper, section 4.1): pairs of a class, mIoU, FB-IoU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
from napari_vrp_sam.annotations.simulate import simulate
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.few_shot_sets import FewShotSet

PAIRS = 1000
"""Episodes of a fold, as published."""

Segment = Callable[[NDArray[np.uint8], Sequence[Reference]], NDArray[np.bool_]]
"""From an image, shape (Y, X, 3), and references of one class to its mask, shape (Y, X)."""


@dataclass(frozen=True)
class Pair:
    """One episode: annotated images of a class, and another image that shows it.

    Attributes
    ----------
    class_id : int
    references : tuple of str
        Image ids.
    target : str
        Another image's.
    number : int
        Of the episode; the seed of its simulated annotations.
    """

    class_id: int
    references: tuple[str, ...]
    target: str
    number: int


class FewShotScores:
    """Intersections and unions, summed over all episodes of each class.

    Parameters
    ----------
    class_ids : sequence of int
        Novel classes of the fold.
    """

    def __init__(self, class_ids: Sequence[int]) -> None:
        self.class_ids = tuple(class_ids)
        # Of each class: background, foreground.
        self._intersections = np.zeros((len(self.class_ids), 2), np.int64)
        self._unions = np.zeros((len(self.class_ids), 2), np.int64)

    def add(self, class_id: int, found: NDArray[np.bool_], truth: NDArray[np.uint8]) -> None:
        """Count one episode.

        Parameters
        ----------
        class_id : int
        found : ndarray of bool, shape (Y, X)
        truth : ndarray of uint8, shape (Y, X)
            1 where the class is; 255 counts nowhere.
        """
        row, known = self.class_ids.index(class_id), truth != IGNORED
        for side, mask, wanted in ((0, ~found, truth == 0), (1, found, truth == 1)):
            self._intersections[row, side] += np.count_nonzero(mask & wanted & known)
            self._unions[row, side] += np.count_nonzero((mask | wanted) & known)

    @property
    def ious(self) -> dict[int, float]:
        """IoU of each class that was in any episode."""
        return {
            class_id: float(overlap[1] / union[1])
            for class_id, overlap, union in zip(
                self.class_ids, self._intersections, self._unions, strict=True
            )
            if union[1]
        }

    @property
    def mean_iou(self) -> float:
        """Mean of the classes' IoU (mIoU)."""
        return float(np.mean(list(self.ious.values()))) if self.ious else float("nan")

    @property
    def fb_iou(self) -> float:
        """Mean of the IoU of foreground and background, whatever the class (FB-IoU)."""
        unions = self._unions.sum(axis=0)
        return float(np.mean(self._intersections.sum(axis=0) / np.maximum(unions, 1)))


def pairs(
    data: FewShotSet,
    fold: int,
    *,
    classes: Sequence[int] | None = None,
    count: int = PAIRS,
    references: int = 1,
    seed: int = 0,
) -> Iterator[Pair]:
    """Draw episodes of a fold's novel classes; the same for a seed, however many are drawn.

    As the published code does, on COCO-20i a class first and then an image of it; on Pascal-5i the
    images one after the other, and one of the classes on each.

    Parameters are those of `evaluate_methods`.

    Raises
    ------
    InputError
        If no novel class is on enough images.
    """
    showing = data.showing("test")
    wanted = data.novel(fold) if classes is None else classes
    usable = [c for c in wanted if len(showing.get(c, ())) > references]
    if not usable:
        raise InputError(
            f"No class of fold {fold} is on more than {references} images of {data.root}."
        )
    areas = data.areas("test")
    large = {image_id for class_id in usable for image_id in showing[class_id]}
    images = [image_id for image_id in areas if image_id in large]
    for number in range(count):
        rng = np.random.default_rng([seed, fold, number])
        if data.evenly:
            class_id = usable[int(rng.integers(len(usable)))]
            drawn = rng.choice(len(showing[class_id]), references + 1, replace=False)
            target, *shown = (showing[class_id][int(at)] for at in drawn)
        else:
            target = images[number % len(images)]
            on_it = [c for c in areas[target] if c in usable]
            class_id = on_it[int(rng.integers(len(on_it)))]
            others = [image_id for image_id in showing[class_id] if image_id != target]
            drawn = rng.choice(len(others), references, replace=False)
            shown = [others[int(at)] for at in drawn]
        yield Pair(class_id, tuple(shown), target, number)


def evaluate_fold(
    data: FewShotSet,
    fold: int,
    segment: Segment,
    *,
    count: int = PAIRS,
    references: int = 1,
    kind: AnnotationKind = "mask",
    seed: int = 0,
    progress: Callable[[int, FewShotScores], None] | None = None,
) -> FewShotScores:
    """Measure one method on the novel classes of a fold; see `evaluate_methods`."""

    def tell(done: int, scores: Mapping[str, FewShotScores]) -> None:
        if progress:
            progress(done, scores[""])

    scores = evaluate_methods(
        data,
        fold,
        {"": segment},
        count=count,
        references=references,
        kind=kind,
        seed=seed,
        progress=tell,
    )
    return scores[""]


def evaluate_methods(
    data: FewShotSet,
    fold: int,
    methods: Mapping[str, Segment],
    *,
    classes: Sequence[int] | None = None,
    count: int = PAIRS,
    references: int = 1,
    kind: AnnotationKind = "mask",
    seed: int = 0,
    progress: Callable[[int, Mapping[str, FewShotScores]], None] | None = None,
) -> dict[str, FewShotScores]:
    """Measure methods on the same episodes.

    Parameters
    ----------
    data : FewShotSet
    fold : int
        0..3.
    methods : mapping of str to callable
    classes : sequence of int, optional
        To be measured on; the novel ones of the fold unless given.
    count : int
        Episodes.
    references : int
        Annotated images of an episode.
    kind : {"mask", "box", "scribble", "point"}
        All but the mask are simulated from it; see `annotations.simulate`.
    seed : int
        Of pairs and annotations.
    progress : callable, optional
        Told how many episodes are done, and what they gave until now.

    Raises
    ------
    InputError
        If the data is not there, or has no pairs.
    """
    wanted = data.novel(fold) if classes is None else classes
    scores = {name: FewShotScores(wanted) for name in methods}
    drawn = pairs(data, fold, classes=wanted, count=count, references=references, seed=seed)
    for done, pair in enumerate(drawn, start=1):
        annotated = [
            _reference(data, image_id, pair.class_id, kind, [seed, pair.number, shot])
            for shot, image_id in enumerate(pair.references)
        ]
        image = data.image("test", pair.target)
        truth = data.mask("test", pair.target, pair.class_id)
        for name, segment in methods.items():
            scores[name].add(pair.class_id, segment(image, annotated), truth)
        if progress:
            progress(done, scores)
    return scores


def _reference(
    data: FewShotSet, image_id: str, class_id: int, kind: AnnotationKind, seed: Sequence[int]
) -> Reference:
    truth = data.mask("test", image_id, class_id)
    drawn = simulate(truth == 1, kind, np.random.default_rng(seed))
    # Borders that VOC leaves open teach nothing about what the class is not.
    ignored = truth == IGNORED if kind == "mask" else None
    return Reference(data.image("test", image_id), drawn, 1, kind, ignored=ignored)
