"""Two-fold cross-validation on the annotated frames: edges, offset and expected IoU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.decision import EDGE_SHARES, follow_edges, shift_to_best_threshold
from napari_vrp_sam.models.parallel import run_parallel
from napari_vrp_sam.models.probe.encoded_shots import Shot, restrict_to_fold

OFFSETS = (-1.2, -0.8, -0.4, 0.0, 0.4, 0.8)
"""Candidate offsets of the logits."""

OFFSET_PRIOR_STD = 0.5
"""Standard deviation of the Gaussian prior of the offset."""

TEMPERATURE = 0.01
"""IoU that makes an offset e times as likely. A fold of one frame cannot distinguish offsets of
similar IoU, and the best of them by chance is not better than their mean."""

EDGE_BONUS = 0.01
"""Advantage of edges that follow the image, in IoU on the held-out folds."""

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
    """Estimates of cross-validation; see `ClassCalibration`."""

    edge_share: float
    offset: float
    expected_iou: float


def cross_validate(
    shots: Sequence[Shot],
    views: Sequence[Shot],
    learn: Learn,
    intensities: Callable[[Shot], Tensor],
) -> FoldEstimates | None:
    """Estimate share of edges, offset and expected IoU of one class.

    Parameters
    ----------
    shots : sequence of Shot
        References of the class, with folds; see `assign_folds`.
    views : sequence of Shot
        Augmented views of them.
    learn : callable
        Learns from the shots of one fold.
    intensities : callable
        Returns the feature map of a shot that `follow_edges` needs.

    Returns
    -------
    FoldEstimates or None
        None if any annotation is not a mask, or if the annotation cannot be split.
    """
    held_out = held_out_logits(shots, views, learn)
    if held_out is None:
        return None
    # Folds of several references are different frames already.
    ratio = 1.0 if len(shots) > 1 else OTHER_FRAMES_RATIO
    candidates = []
    for share in EDGE_SHARES:
        edged = [(s, follow_edges(logits, intensities(s), [share])) for s, logits in held_out]
        values = list(map(known_values, edged))
        offset = choose_offset(values)
        reached = iou_of_logits(
            [(shift_to_best_threshold((v + offset)[None])[0], t) for v, t in values]
        )
        candidates.append(FoldEstimates(share, offset, ratio * reached))
    # Edges of the image are right in most datasets: without them only if that is clearly better.
    return max(candidates, key=lambda e: e.expected_iou + EDGE_BONUS * (e.edge_share > 0))


def held_out_logits(
    shots: Sequence[Shot], views: Sequence[Shot], learn: Learn
) -> list[tuple[Shot, Tensor]] | None:
    """Learn from each fold, and return the other ones with the logits of the class.

    Return None if any annotation is not a mask, or if the annotation cannot be split. See
    `cross_validate` for the parameters.
    """
    if any(shot.fold is None or shot.incomplete for shot in shots):
        return None
    learners = [partial(_fold_logits, shots, views, learn, fold) for fold in (0, 1)]
    on_cpu = shots[0].mask.device.type == "cpu"
    folds = run_parallel(learners) if on_cpu else [one() for one in learners]
    if not all(folds):
        return None
    held_out = [pair for fold in folds for pair in fold]
    if not all(bool((s.foreground > s.background).any()) for s, _ in held_out):
        return None
    return held_out


def known_values(held_out: tuple[Shot, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the logits and the ground truth of the known pixels of a frame."""
    # At full size, because thin objects have another area on the grid of the pseudo-mask.
    shot, logits = held_out
    known = shot.foreground + shot.background > 0.5
    size = (shot.mask.shape[-2], shot.mask.shape[-1])
    values = F.interpolate(logits, size, mode="bilinear")[:, 0][known]
    return values, (shot.foreground > shot.background)[known]


def choose_offset(values: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Return the mean offset under a posterior that prefers a high IoU at the threshold 0."""
    ious = np.array(
        [iou_of_logits([(v + offset, truth) for v, truth in values]) for offset in OFFSETS]
    )
    posterior = np.exp((ious - ious.max()) / TEMPERATURE)
    posterior *= np.exp(-np.square(OFFSETS) / (2 * OFFSET_PRIOR_STD**2))
    return float((posterior * OFFSETS).sum() / posterior.sum())


def iou_of_logits(values: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Return the IoU of the positive logits of all frames and their ground truth."""
    overlap = sum(float(((v > 0) & truth).sum()) for v, truth in values)
    union = sum(float(((v > 0) | truth).sum()) for v, truth in values)
    return overlap / max(union, 1.0)


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
