"""From probabilities of classes to labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def labels_from_probabilities(
    probabilities: NDArray[np.floating], class_ids: Sequence[int]
) -> NDArray[Any]:
    """The class with the highest probability over 0.5 in each pixel, else 0.

    Parameters
    ----------
    probabilities : ndarray, shape (K, Y, X)
    class_ids : sequence of int
        Label values of the K classes.

    Returns
    -------
    ndarray, shape (Y, X)
        In the smallest unsigned dtype that holds all class values.
    """
    labels = np.zeros(probabilities.shape[1:], dtype=np.min_scalar_type(max(class_ids)))
    highest = np.full(labels.shape, 0.5, dtype=probabilities.dtype)
    # Class by class, as `argmax` would need eight bytes for each pixel of a large frame.
    for class_id, probability in zip(class_ids, probabilities, strict=True):
        labels[probability > highest] = class_id
        np.maximum(highest, probability, out=highest)
    return labels
