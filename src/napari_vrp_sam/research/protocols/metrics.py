"""Measures of agreement between a predicted mask and the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def iou(
    prediction: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    ignored: NDArray[np.bool_] | None = None,
) -> float:
    """Intersection over union (Jaccard index) of two masks.

    Parameters
    ----------
    prediction, truth : ndarray of bool, shape (Y, X)
    ignored : ndarray of bool, shape (Y, X), optional
        Pixels that count nowhere.

    Returns
    -------
    float
        0..1; NaN where both masks are empty, because nothing over nothing is undefined.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"masks of different shapes: {prediction.shape} and {truth.shape}")
    if ignored is not None:
        prediction, truth = prediction[~ignored], truth[~ignored]
    union = np.count_nonzero(prediction | truth)
    return float(np.count_nonzero(prediction & truth) / union) if union else float("nan")


def calibration_error(pairs: Sequence[tuple[float, float]], bins: int = 10) -> float | None:
    """Expected calibration error of predicted scores.

    Guo et al., "On calibration of modern neural networks", ICML 2017, equation 5, with a score
    where they have the rate of correct answers.

    Parameters
    ----------
    pairs : sequence of (float, float)
        What was expected and what came, each in 0..1.
    bins : int, default 10
        Pairs of nearly the same expectation are compared together.

    Returns
    -------
    float or None
        Mean difference between expectation and what came over the bins, by their numbers of pairs;
        None without any.
    """
    if not pairs:
        return None
    expected, reached = np.array(pairs, dtype=float).T
    number = np.minimum((expected * bins).astype(int), bins - 1)
    differences = np.bincount(number, weights=expected - reached, minlength=bins)
    return float(np.abs(differences).sum() / len(pairs))
