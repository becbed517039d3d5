"""How good a segmented frame probably is, by the probabilities of its pixels alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

IOU_PER_AGREEMENT = 0.88
"""IoU with the truth over the agreement of mask and probabilities: the slope over 82 frames of
eight training sets. How well it holds on others stands in the benchmarks."""


def confidences(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Expected IoU of each class's mask on one frame.

    If probabilities are right, the overlap of the mask with the truth is the sum of the
    probabilities inside it, and their union is the mask and the sum outside it. The quotient is
    the agreement of mask and probabilities (the soft Jaccard index).

    Parameters
    ----------
    probabilities : ndarray, shape (K, Y, X)
        Of K classes, in 0..1.

    Returns
    -------
    ndarray, shape (K,)
        In 0..1; NaN for a class that was not found: there is no mask to judge.
    """
    found = probabilities > 0.5
    area = found.sum(axis=(1, 2))
    overlap = np.where(found, probabilities, 0).sum(axis=(1, 2), dtype=np.float64)
    missed = np.where(found, 0, probabilities).sum(axis=(1, 2), dtype=np.float64)
    expected = IOU_PER_AGREEMENT * overlap / np.maximum(area + missed, 1)
    return np.where(area > 0, expected, np.nan)


class LeastSure(NamedTuple):
    """Where another annotation probably helps most."""

    frame: int
    confidence: float


def of_frame(of_classes: Iterable[float]) -> float | None:
    """Confidence of a whole frame: the mean over the classes found on it, None without any."""
    found = [value for value in of_classes if not np.isnan(value)]
    return float(np.mean(found)) if found else None


def least_sure(of_frames: Mapping[int, float]) -> LeastSure | None:
    """The frame of the lowest confidence, by index; None if there is no frame."""
    return min((LeastSure(*item) for item in of_frames.items()), key=lambda f: f[1], default=None)
