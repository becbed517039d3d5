"""Two-fold cross-validation on the annotated frames: smoothing, offset and expected IoU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.parallel import run_parallel
from napari_vrp_sam.models.probe.classical_features import gaussian_blur
from napari_vrp_sam.models.probe.encoded_shots import Shot, restrict_to_fold

SMOOTHINGS = (0.0, 0.7)
"""Candidate standard deviations of the Gaussian, in cells of the pseudo-mask."""

OFFSETS = (-1.2, -0.8, -0.4, 0.0, 0.4, 0.8)
"""Candidate offsets of the logits."""

OFFSET_PRIOR_STD = 0.5
"""Standard deviation of the Gaussian prior of the offset."""

TEMPERATURE = 0.01
"""IoU that makes an offset e times as likely. A fold of one frame cannot distinguish offsets of
similar IoU, and the best of them by chance is not better than their mean."""

OTHER_FRAMES_RATIO = 0.8
"""Ratio of the IoU on other frames to the IoU on the held-out fold of the annotated one: the slope
was 0.81 over 41 classes of 8 training datasets, 0.80 over 94 classes of 14 evaluation datasets."""

FOLD_EFFORT = 0.35
"""Effort of fitting a probe to one fold; see `ensemble.fit_ensemble`."""

Predict = Callable[[Shot], Tensor]
"""Function that returns the logits (1, 1, h, w) of a shot."""

Learn = Callable[[Sequence[Shot], Sequence[Shot]], Predict]
"""Function that learns one class from shots and views of them."""


class FoldEstimates(NamedTuple):
    """Estimates of cross-validation: `smoothing` and `offset` are those of `ClassCalibration`."""

    smoothing: float
    offset: float
    expected_iou: float


def cross_validate(
    shots: Sequence[Shot], views: Sequence[Shot], learn: Learn
) -> FoldEstimates | None:
    """Estimate smoothing, offset and expected IoU of one class.

    Parameters
    ----------
    shots : sequence of Shot
        References of the class, with folds; see `assign_folds`.
    views : sequence of Shot
        Augmented views of them.
    learn : callable
        Learns from the shots of one fold.

    Returns
    -------
    FoldEstimates or None
        None if any annotation is not a mask, or if the annotation cannot be split.
    """
    if any(shot.fold is None or shot.incomplete for shot in shots):
        return None
    learners = [partial(_fold_logits, shots, views, learn, fold) for fold in (0, 1)]
    on_cpu = shots[0].mask.device.type == "cpu"
    folds = run_parallel(learners) if on_cpu else [one() for one in learners]
    if not all(folds):
        return None
    overlap = np.zeros((len(SMOOTHINGS), len(OFFSETS)))
    union = np.zeros_like(overlap)
    for shot, logits in (pair for fold in folds for pair in fold):
        # At full size, because thin objects have another area on the grid of the pseudo-mask.
        known = shot.foreground + shot.background > 0.5
        ground_truth = (shot.foreground > shot.background)[known]
        size = (shot.mask.shape[-2], shot.mask.shape[-1])
        for i, sigma in enumerate(SMOOTHINGS):
            values = F.interpolate(smooth(logits, sigma), size, mode="bilinear")[:, 0][known]
            for j, offset in enumerate(OFFSETS):
                mask = values > -offset
                overlap[i, j] += float((mask & ground_truth).sum())
                union[i, j] += float((mask | ground_truth).sum())
    if not union.all():
        return None
    ious = overlap / union
    log_likelihood = (ious - ious.max(axis=1, keepdims=True)) / TEMPERATURE
    posterior = np.exp(log_likelihood - np.square(OFFSETS) / (2 * OFFSET_PRIOR_STD**2))
    offsets = (posterior * OFFSETS).sum(axis=1) / posterior.sum(axis=1)
    reached = [float(np.interp(o, OFFSETS, row)) for o, row in zip(offsets, ious, strict=True)]
    best = int(np.argmax(reached))
    # Folds of several references are different frames already.
    expected = reached[best] * (1.0 if len(shots) > 1 else OTHER_FRAMES_RATIO)
    return FoldEstimates(SMOOTHINGS[best], float(offsets[best]), expected)


def smooth(logits: Tensor, sigma: float) -> Tensor:
    """Filter logits of shape (B, 1, h, w) with a Gaussian; `sigma` in cells, 0 for none."""
    return gaussian_blur(logits, sigma, truncate=3) if sigma else logits


def _fold_logits(
    shots: Sequence[Shot], views: Sequence[Shot], learn: Learn, fold: int
) -> list[tuple[Shot, Tensor]]:
    """Return the shots outside a fold, with logits learned from that fold; empty without class."""
    learned, learned_views, held_out = (
        [shot for shot in group if bool(shot.foreground.any() and shot.background.any())]
        for group in (
            [restrict_to_fold(shot, fold) for shot in shots],
            [restrict_to_fold(view, fold) for view in views],
            [restrict_to_fold(shot, 1 - fold) for shot in shots],
        )
    )
    if not learned or not held_out:
        return []
    predict = learn(learned, learned_views)
    return [(shot, predict(shot)) for shot in held_out]
