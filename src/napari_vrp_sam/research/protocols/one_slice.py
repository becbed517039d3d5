"""The one-slice protocol: annotate a class on one frame, measure it on the other frames.

For each sequence of a data set (three random groups of seven images where the images have no
order) and each class, the middle frame - or the nearest one of which the class covers 0.2-98 % - is
the reference. The score is the IoU on the other frames: the mean over frames, then over the
sequence's classes, then over sequences.

Edge cases, the same for every method:

- A frame whose truth lacks the class has no IoU for it and is left out, as in the few-shot
  benchmarks, where reference and target always share the class. What a method wrongly marks there
  is reported apart (`false_area`, the mean share of such a frame).
- A class without a usable reference, or with no other frame, is left out of that sequence.
- Ignored pixels count nowhere: not in the targets, and in the reference they teach nothing.
- Images of one group may differ in size; if any has colours, gray ones get three equal channels.
- Objects of an instance data set are one class together.
- Boxes are drawn around each object (each connected part of the class).

With several references the frames nearest to evenly spaced places are annotated, the middle one
among them if their number is odd.
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
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.protocols.metrics import calibration_error, iou

Frame = NDArray[Any]


class Segmented(NamedTuple):
    """What a method makes of a frame, every class on its own.

    Attributes
    ----------
    masks : ndarray of bool, shape (K, Y, X)
        Of the K classes, ascending.
    confidences : ndarray, shape (K,), optional
        The IoU that the method expects; NaN where it expects nothing.
    """

    masks: NDArray[np.bool_]
    confidences: NDArray[np.float64] | None = None


Segment = Callable[[Frame], Segmented]
"""Frame (Y, X, C) -> what is on it."""
Method = Callable[[Sequence[Frame], Sequence[Reference]], Segment]
"""`method(frames, references)` learns from the references what to `segment`; of the other frames of
the sequence it may use the intensities."""

MIN_COVERAGE, MAX_COVERAGE = 0.002, 0.98


@dataclass
class _Scores:
    """What one method reaches on one data set."""

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
    """Measure methods on one data set, side by side: same references, same target frames.

    Parameters
    ----------
    dataset : Dataset
    methods : mapping of str to Method
    kind : {"mask", "box", "scribble", "point"}
        The annotation; all but the mask are simulated from the true mask.
    references : int
        Annotated frames of each class, as far as there are any.
    spared : int
        Frames that would be annotated if there were so many references are not measured either:
        then runs with fewer references are measured on the same frames.
    seed : int
        Of the random groups and of simulated annotations.
    max_frames : int, optional
        Cut longer sequences to this many frames, evenly spaced; for a quick look.
    max_sequences : int, optional
        Leave out further sequences than so many.
    progress : callable, optional
        Told what is being measured.

    Returns
    -------
    dict
        For each method `mean_iou`, `classes` (mean IoU of each), `seconds_per_frame` (all classes
        of a frame together), `seconds_to_learn` (from the references, per sequence), `false_area`,
        `sequences` (mean IoU of each) and `confidences` (pairs of the IoU that was expected and the
        IoU that was reached, for frames and classes of which one was expected); None where nothing
        could be measured.

    Raises
    ------
    InputError
        If no class of the data set has a reference and a target.
    """
    scores = {name: _Scores() for name in methods}
    for group, ids in list(dataset.groups(seed=seed).items())[:max_sequences]:
        kept = _thinned(ids, max_frames)
        frames = _same_channels([dataset.image(item) for item in kept])
        truth = [dataset.labels(item) for item in kept]
        shown = choose_references(
            frames, truth, dataset.classes, kind=kind, count=references, seed=seed
        )
        spare = choose_references(frames, truth, dataset.classes, count=spared)
        annotated = {(r.class_id, r.frame) for r in (*shown, *spare)}
        # Each class has its own targets: all frames on which it is not annotated.
        targets = {
            class_id: [i for i in range(len(kept)) if (class_id, i) not in annotated]
            for class_id in class_ids_of(shown)
        }
        if not any(targets.values()):
            continue
        for name, method in methods.items():
            if progress:
                progress(f"{dataset.name} · {group} · {name}")
            _run(method, frames, truth, shown, targets, dataset.classes, scores[name])
    if not any(score.sequences for score in scores.values()):
        raise InputError(
            f"{dataset.name} has no class with a reference frame ({MIN_COVERAGE:.1%} to "
            f"{MAX_COVERAGE:.0%} covered) and another frame to measure."
        )
    return {name: score.summary() for name, score in scores.items()}


def choose_references(
    frames: Sequence[Frame],
    truth: Sequence[NDArray[np.uint8]],
    classes: Mapping[int, str],
    *,
    kind: AnnotationKind = "mask",
    count: int = 1,
    seed: int = 0,
) -> list[Reference]:
    """References for each class that a frame of the sequence suits.

    Parameters
    ----------
    frames : sequence of ndarray, each of shape (Y, X, C)
    truth : sequence of ndarray, each of shape (Y, X)
        Class of each pixel.
    classes : mapping of int to str
        Classes to look for.
    kind : {"mask", "box", "scribble", "point"}
    count : int
        References of each class, fewer where fewer frames suit.
    seed : int
        Of the simulated annotation.

    Returns
    -------
    list of Reference
        On frames with 0.2-98 % of the class: the middle one or the nearest (of two, the earlier);
        for more, the nearest ones to evenly spaced places.
    """
    references = []
    for class_id in classes:
        coverage = [float((labels == class_id).mean()) for labels in truth]
        free = [i for i, share in enumerate(coverage) if MIN_COVERAGE <= share <= MAX_COVERAGE]
        for number in range(min(count, len(free))):
            place = (2 * number + 1) * len(frames) // (2 * count)
            index = min(free, key=lambda i: (abs(i - place), i))
            free.remove(index)
            annotation = _annotate(truth[index] == class_id, kind, seed)
            ignored = truth[index] == IGNORED
            references.append(Reference(frames[index], annotation, class_id, kind, index, ignored))
    return references


def mean_over_datasets(
    datasets: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> dict[str, float | None]:
    """Mean IoU of each method over data sets, from the results of `evaluate_dataset` by name."""
    methods = {method for results in datasets.values() for method in results}
    return {
        method: _mean([r[method]["mean_iou"] for r in datasets.values() if method in r])
        for method in sorted(methods)
    }


def calibration_over_datasets(
    datasets: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> dict[str, float | None]:
    """Expected calibration error of each method that expects an IoU; over frames and classes."""
    methods = {method for results in datasets.values() for method in results}
    pairs = {
        method: [p for r in datasets.values() if method in r for p in r[method]["confidences"]]
        for method in sorted(methods)
    }
    return {method: calibration_error(of_method) for method, of_method in pairs.items()}


def _run(
    method: Method,
    frames: Sequence[Frame],
    truth: Sequence[NDArray[np.uint8]],
    references: Sequence[Reference],
    targets: Mapping[int, Sequence[int]],
    classes: Mapping[int, str],
    scores: _Scores,
) -> None:
    """Run one method on one sequence and add its scores."""
    scored: dict[str, list[float]] = {}
    start = time.perf_counter()
    segment = method(frames, references)
    scores.seconds_to_learn.append(time.perf_counter() - start)
    for target in sorted({i for of_class in targets.values() for i in of_class}):
        start = time.perf_counter()
        masks, expected = segment(frames[target])
        scores.seconds.append(time.perf_counter() - start)
        ignored = truth[target] == IGNORED
        for number, (class_id, mask) in enumerate(zip(targets, masks, strict=True)):
            if target not in targets[class_id]:
                continue
            true_mask = truth[target] == class_id
            if true_mask.any():
                score = iou(mask, true_mask, ignored)
                scored.setdefault(classes[class_id], []).append(score)
                if expected is not None and not np.isnan(expected[number]):
                    scores.confidences.append((float(expected[number]), score))
            elif not ignored.all():
                scores.false_areas.append(float(mask[~ignored].mean()))
    scores.add_sequence({label: float(np.mean(values)) for label, values in scored.items()})


def _annotate(mask: NDArray[np.bool_], kind: AnnotationKind, seed: int) -> NDArray[np.float32]:
    if kind == "mask":
        return mask.astype(np.float32)
    from napari_vrp_sam.annotations.simulate import simulate

    return simulate(mask, kind, np.random.default_rng(seed), each=True)


def _thinned(ids: Sequence[str], max_frames: int | None) -> Sequence[str]:
    if max_frames is None or len(ids) <= max_frames:
        return ids
    return [ids[index] for index in np.linspace(0, len(ids) - 1, max_frames).round().astype(int)]


def _same_channels(frames: list[Frame]) -> list[Frame]:
    """Gray frames repeated to three channels where others of the group have colours."""
    channels = max(frame.shape[-1] for frame in frames)
    return [
        np.repeat(frame, channels, axis=-1) if frame.shape[-1] == 1 else frame for frame in frames
    ]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
