"""Confidence of frames: their expected IoU, and the frame of the lowest one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

IOU_PER_AGREEMENT = 0.88
"""IoU with the truth over the agreement of mask and probabilities: the slope over 82 frames of
eight training sets. How well it holds on others stands in the benchmarks."""


class LeastConfident(NamedTuple):
    """Where another annotation probably helps most."""

    frame: int
    confidence: float


def of_frame(of_classes: Iterable[float]) -> float | None:
    """Confidence of a whole frame: the mean over the classes found on it, None without any."""
    found = [value for value in of_classes if not np.isnan(value)]
    return float(np.mean(found)) if found else None


def least_confident(of_frames: Mapping[int, float]) -> LeastConfident | None:
    """The frame of the lowest confidence, by index; None if there is no frame."""
    return min(
        (LeastConfident(*item) for item in of_frames.items()), key=lambda f: f[1], default=None
    )
