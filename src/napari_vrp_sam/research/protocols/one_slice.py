"""One-slice protocol: annotate a class on one frame, evaluate it on the other frames.

For each sequence of a dataset (three random groups of seven images if the images have no order) and
each class, the reference is the middle frame or the nearest one of which the class covers 0.2-98 %.
The score is the IoU on the other frames: the mean over frames, then over the sequence's classes,
then over sequences.

Edge cases, the same for all methods:

- A frame without the class has no IoU and is excluded, as in the few-shot benchmarks. False
  positives on such frames are reported as `false_area`, their mean fraction of the frame.
- A class without a usable reference, or without another frame, is excluded from that sequence.
- Ignored pixels are excluded from targets and references.
- Images of a group may differ in size; if any is RGB, gray images are repeated to three channels.
- All objects of an instance dataset form one class.
- Boxes are drawn around each connected component of the class.

Several references are the frames nearest to evenly spaced positions, which include the middle if
their number is odd.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import IGNORED, class_ids_of
from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
from napari_vrp_sam.annotations.simulate import simulate_annotation
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.training.metrics import calibration_error, iou

Frame = NDArray[Any]


class FrameMasks(NamedTuple):
    """Prediction of a method for one frame.

    Attributes
    ----------
    masks : ndarray of bool, shape (K, Y, X)
        Masks of the K classes in ascending order.
    confidences : ndarray, shape (K,), optional
        Expected IoU of each class; NaN if unknown.
    """

    masks: NDArray[np.bool_]
    confidences: NDArray[np.float64] | None = None


SegmentFrame = Callable[[Frame], FrameMasks]
"""Segments a frame, shape (Y, X, C)."""
Method = Callable[[Sequence[Frame], Sequence[Reference]], SegmentFrame]
"""Learns from the references of a sequence, given all its frames; returns a `SegmentFrame`."""

MIN_COVERAGE, MAX_COVERAGE = 0.002, 0.98
"""Fraction of a reference that its class has to cover."""


@dataclass
class _Scores:
    """Scores of one method on one dataset."""

    classes: dict[str, list[float]] = field(default_factory=dict)
    sequences: list[float] = field(default_factory=list)
    false_areas: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    seconds_to_learn: list[float] = field(default_factory=list)
    confidences: list[tuple[float, float]] = field(default_factory=list)

    def add_sequence(self, scores: Mapping[str, float]) -> None:
        for name, score in scores.items():
            self.classes.setdefault(name, []).append(score)
        if scores:
            self.sequences.append(float(np.mean(list(scores.values()))))

    def summary(self) -> dict[str, Any]:
        return {
            "mean_iou": _mean(self.sequences),
            "classes": {name: _mean(scores) for name, scores in self.classes.items()},
            "seconds_per_frame": _mean(self.seconds),
            "seconds_to_learn": _mean(self.seconds_to_learn),
            "false_area": _mean(self.false_areas),
            "sequences": self.sequences,
            "confidences": self.confidences,
        }


def evaluate_dataset(
    dataset: Dataset,
    methods: Mapping[str, Method],
    *,
    kind: AnnotationKind = "mask",
    references: int = 1,
    spared: int = 1,
    seed: int = 0,
    max_frames: int | None = None,
    max_sequences: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Evaluate several methods on one dataset, with the same references and targets.

    Parameters
    ----------
    dataset : Dataset
    methods : mapping of str to Method
    kind : {"mask", "box", "scribble", "point"}
        Kind of the annotations, which are simulated from the ground truth.
    references : int
        References per class, fewer if fewer frames are suitable.
    spared : int
        Also exclude the frames that would be annotated with this number of references, so that runs
        with different numbers of references are evaluated on the same frames.
    seed : int
        Seed of the random groups and of simulated annotations.
    max_frames : int, optional
        Reduce longer sequences to this number of evenly spaced frames.
    max_sequences : int, optional
        Evaluate only the first sequences.
    progress : callable, optional
        Called with a message for each sequence and method.

    Returns
    -------
    dict
        For each method `mean_iou`, `classes` (mean IoU of each), `seconds_per_frame` (all classes
        together), `seconds_to_learn` (from the references, per sequence), `false_area`, `sequences`
        (mean IoU of each) and `confidences` (pairs of expected and actual IoU of a frame and
        class); None where there is no value.

    Raises
    ------
    InputError
        If no class of the dataset has a reference and a target.
    """
    scores = {name: _Scores() for name in methods}
    for group, all_ids in list(dataset.groups(seed=seed).items())[:max_sequences]:
        count = min(len(all_ids), max_frames or len(all_ids))
        ids = [all_ids[int(i)] for i in np.linspace(0, len(all_ids) - 1, count).round()]
        frames = _same_channels([dataset.image(item) for item in ids])
        labels = [dataset.labels(item) for item in ids]
        annotated = choose_references(
            frames, labels, dataset.classes, kind=kind, count=references, seed=seed
        )
        spare = choose_references(frames, labels, dataset.classes, count=spared)
        excluded = {(r.class_id, r.frame) for r in (*annotated, *spare)}
        # The targets of a class are the frames on which it is not annotated.
        targets = {
            class_id: [i for i in range(len(ids)) if (class_id, i) not in excluded]
            for class_id in class_ids_of(annotated)
        }
        if not any(targets.values()):
            continue
        for name, method in methods.items():
            if progress:
                progress(f"{dataset.name} · {group} · {name}")
            _evaluate(method, frames, labels, annotated, targets, dataset.classes, scores[name])
    if not any(score.sequences for score in scores.values()):
        raise InputError(
            f"{dataset.name} has no class with a reference frame ({MIN_COVERAGE:.1%} to "
            f"{MAX_COVERAGE:.0%} covered) and another frame to evaluate."
        )
    return {name: score.summary() for name, score in scores.items()}


def choose_references(
    frames: Sequence[Frame],
    labels: Sequence[NDArray[np.uint8]],
    classes: Mapping[int, str],
    *,
    kind: AnnotationKind = "mask",
    count: int = 1,
    seed: int = 0,
) -> list[Reference]:
    """Choose and annotate the references of each class that has suitable frames.

    Parameters
    ----------
    frames : sequence of ndarray, each of shape (Y, X, C)
    labels : sequence of ndarray, each of shape (Y, X)
        Class of each pixel.
    classes : mapping of int to str
    kind : {"mask", "box", "scribble", "point"}
    count : int
        References per class, fewer if fewer frames are suitable.
    seed : int
        Seed of the simulated annotations.

    Returns
    -------
    list of Reference
        References on frames with 0.2-98 % of the class: for each of `count` evenly spaced
        positions, the nearest frame (of two, the earlier one).
    """
    references = []
    for class_id in classes:
        coverage = [float((of_frame == class_id).mean()) for of_frame in labels]
        suitable = [i for i, share in enumerate(coverage) if MIN_COVERAGE <= share <= MAX_COVERAGE]
        for number in range(min(count, len(suitable))):
            position = (2 * number + 1) * len(frames) // (2 * count)
            index = min(suitable, key=lambda i: (abs(i - position), i))
            suitable.remove(index)
            annotation = simulate_annotation(
                labels[index] == class_id, kind, np.random.default_rng(seed), each=True
            )
            ignored = labels[index] == IGNORED
            references.append(Reference(frames[index], annotation, class_id, kind, index, ignored))
    return references


def mean_over_datasets(
    datasets: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> dict[str, float | None]:
    """Average the IoU of each method over datasets, given results of `evaluate_dataset` by name."""
    return {
        method: _mean([scores["mean_iou"] for scores in results])
        for method, results in _by_method(datasets).items()
    }


def calibration_over_datasets(
    datasets: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> dict[str, float | None]:
    """Compute the calibration error of each method's expected IoU over datasets; None without."""
    return {
        method: calibration_error([pair for scores in results for pair in scores["confidences"]])
        for method, results in _by_method(datasets).items()
    }


def _by_method(
    datasets: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> dict[str, list[Mapping[str, Any]]]:
    methods = sorted({method for results in datasets.values() for method in results})
    return {m: [r[m] for r in datasets.values() if m in r] for m in methods}


def _evaluate(
    method: Method,
    frames: Sequence[Frame],
    labels: Sequence[NDArray[np.uint8]],
    references: Sequence[Reference],
    targets: Mapping[int, Sequence[int]],
    classes: Mapping[int, str],
    scores: _Scores,
) -> None:
    """Run a method on a sequence and add its scores."""
    ious: dict[str, list[float]] = {}
    start = time.perf_counter()
    segment = method(frames, references)
    scores.seconds_to_learn.append(time.perf_counter() - start)
    for target in sorted({i for of_class in targets.values() for i in of_class}):
        start = time.perf_counter()
        masks, expected = segment(frames[target])
        scores.seconds.append(time.perf_counter() - start)
        ignored = labels[target] == IGNORED
        for number, (class_id, mask) in enumerate(zip(targets, masks, strict=True)):
            if target not in targets[class_id]:
                continue
            ground_truth = labels[target] == class_id
            if ground_truth.any():
                score = iou(mask, ground_truth, ignored)
                ious.setdefault(classes[class_id], []).append(score)
                if expected is not None and not np.isnan(expected[number]):
                    scores.confidences.append((float(expected[number]), score))
            elif not ignored.all():
                scores.false_areas.append(float(mask[~ignored].mean()))
    scores.add_sequence({name: float(np.mean(values)) for name, values in ious.items()})


def _same_channels(frames: list[Frame]) -> list[Frame]:
    """Repeat gray frames to three channels if others of the group are RGB."""
    channels = max(frame.shape[-1] for frame in frames)
    return [
        np.repeat(frame, channels, axis=-1) if frame.shape[-1] == 1 else frame for frame in frames
    ]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
