"""The decision between classes, the same for NumPy arrays and torch tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

Array = TypeVar("Array")

DEFAULT_THRESHOLD = 0.5


def decide(
    planes: Iterable[Array],
    class_ids: Sequence[int],
    thresholds: Sequence[float],
    labels: Array,
    where: Callable[[Any, Any, Any], Any],
) -> Array:
    """Return the class with the highest probability above its threshold in each pixel, else 0.

    Parameters
    ----------
    planes : iterable of array, shape (..., Y, X)
        Probabilities of each of the K classes, or other values that grow with them.
    class_ids : sequence of int
        Label values of the K classes. Of classes with the same probability, the first wins.
    thresholds : sequence of float
        Thresholds of the K classes, in the unit of `planes`, 0 or higher.
    labels : array of integers, shape (..., Y, X)
        Zeros in the dtype of the result.
    where : callable
        `numpy.where` or `torch.where`.

    Returns
    -------
    array of integers, shape (..., Y, X)
    """
    highest: Any = None
    found: Any = labels
    # Class by class, because `argmax` would need eight bytes for each pixel of a large frame.
    for plane, class_id, threshold in zip(planes, class_ids, thresholds, strict=True):
        values: Any = plane
        wins = values > threshold
        if highest is not None:
            wins &= values > highest
        found = where(wins, class_id, found)
        highest = where(wins, values, 0 if highest is None else highest)
    chosen: Array = found
    return chosen
