"""Measures of agreement between a predicted mask and the truth."""

from __future__ import annotations

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
