"""Confidence of frames: their expected IoU, that of the classes, and the lowest one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

IOU_PER_AGREEMENT = 0.88
"""IoU per agreement of mask and probabilities: the slope over 82 frames of eight training datasets.
The benchmarks show how well it holds on others."""


class LeastConfident(NamedTuple):
    """The frame where another annotation probably helps most."""

    frame: int
    confidence: float


def frame_confidence(of_classes: Iterable[float]) -> float | None:
    """Return the mean confidence of the classes found on a frame; None if there are none."""
    found = [value for value in of_classes if not np.isnan(value)]
    return float(np.mean(found)) if found else None


def least_confident(of_frames: Mapping[int, float]) -> LeastConfident | None:
    """Return the frame with the lowest confidence, or None without frames."""
    return min(
        (LeastConfident(*item) for item in of_frames.items()), key=lambda f: f[1], default=None
    )


def expected_ious(
    held_out: Mapping[int, float | None],
    of_frames: Mapping[int, Mapping[int, float]],
    annotated: Collection[int] = (),
) -> dict[int, float | None]:
    """Return the expected IoU of each class after a run.

    This is its mean confidence, which is closer to the IoU than the estimate before the run: mean
    error 0.10 instead of 0.15 (`benchmarks/expected_iou.py`).

    Parameters
    ----------
    held_out : mapping of int to float or None
        Estimate of each class on held-out parts of the annotation, for classes that were found on
        annotated frames only.
    of_frames : mapping of int to mapping of int to float
        For each segmented frame, the confidence of the classes found on it.
    annotated : collection of int
        Frames that count only for classes without any other value.

    Returns
    -------
    dict of int to float or None

    Examples
    --------
    >>> frames = {0: {1: 0.75, 2: 0.5}, 1: {1: 0.25, 3: 1.0}, 2: {1: 1.0, 3: 1.0}}
    >>> expected_ious({1: 0.6, 2: None, 3: 0.5}, frames, annotated=[1, 2])
    {1: 0.75, 2: 0.5, 3: 0.5}
    """
    others = [of_frames[index] for index in of_frames.keys() - set(annotated)]
    expected: dict[int, float | None] = {}
    for class_id, estimate in held_out.items():
        found = _mean_confidence(others, class_id)
        found = estimate if found is None else found
        everywhere = _mean_confidence(of_frames.values(), class_id)
        expected[class_id] = everywhere if found is None else found
    return expected


def _mean_confidence(of_frames: Iterable[Mapping[int, float]], class_id: int) -> float | None:
    return frame_confidence(frame[class_id] for frame in of_frames if class_id in frame)


def describe_quality(
    expected: Sequence[tuple[str, float | None]], lowest: tuple[str, float] | None
) -> str:
    """Return the sentences on the quality of a result.

    Parameters
    ----------
    expected : sequence of (str, float or None)
        Name and expected IoU of each class; None if it is unknown.
    lowest : (str, float), optional
        Number and confidence of the frame with the lowest one.

    Examples
    --------
    >>> describe_quality([("cell", 0.81), ("debris", None)], ("7", 0.42))
    'Expected IoU: 0.81 (cell), unknown (debris). Lowest confidence: frame 7 (0.42)'
    """
    sentences = []
    if any(iou is not None for _, iou in expected):
        values = (
            f"{'unknown' if iou is None else f'{iou:.2f}'} ({name})" for name, iou in expected
        )
        sentences.append(f"Expected IoU: {', '.join(values)}")
    if lowest is not None:
        frame, confidence = lowest
        sentences.append(f"Lowest confidence: frame {frame} ({confidence:.2f})")
    return ". ".join(sentences)
