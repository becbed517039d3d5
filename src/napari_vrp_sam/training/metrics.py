"""Metrics of agreement between predicted masks and ground truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def iou(
    prediction: NDArray[np.bool_],
    ground_truth: NDArray[np.bool_],
    ignored: NDArray[np.bool_] | None = None,
) -> float:
    """Compute the intersection over union (Jaccard index) of two masks.

    Parameters
    ----------
    prediction, ground_truth : ndarray of bool, shape (Y, X)
    ignored : ndarray of bool, shape (Y, X), optional
        Pixels that are excluded.

    Returns
    -------
    float
        IoU in 0..1; NaN if both masks are empty.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if prediction.shape != ground_truth.shape:
        raise ValueError(
            f"masks have different shapes: {prediction.shape} and {ground_truth.shape}"
        )
    if ignored is not None:
        prediction, ground_truth = prediction[~ignored], ground_truth[~ignored]
    union = np.count_nonzero(prediction | ground_truth)
    return float(np.count_nonzero(prediction & ground_truth) / union) if union else float("nan")


def calibration_error(pairs: Sequence[tuple[float, float]], bins: int = 10) -> float | None:
    """Compute the expected calibration error of predicted scores.

    Defined as in Guo et al., "On calibration of modern neural networks", ICML 2017, equation 5,
    with the mean score in place of the accuracy.

    Parameters
    ----------
    pairs : sequence of (float, float)
        Expected and actual scores in 0..1.
    bins : int, default: 10
        Number of bins over the expected scores.

    Returns
    -------
    float or None
        Mean over the bins, weighted by their numbers of pairs, of the absolute difference between
        expected and actual score; None without pairs.
    """
    if not pairs:
        return None
    expected, actual = np.array(pairs, dtype=float).T
    bin_index = np.minimum((expected * bins).astype(int), bins - 1)
    differences = np.bincount(bin_index, weights=expected - actual)
    return float(np.abs(differences).sum() / len(pairs))
