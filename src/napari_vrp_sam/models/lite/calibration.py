"""Calibration of a class: mask decoder share, smoothing, offset and expected IoU.

All are estimated on the annotated frames. The mask decoder cannot reproduce structures that are
finer than its grid or unlike its training data, not even on the annotated frame itself, where a
probe can. So its share depends on how well it reproduces the annotation, compared with the probe.
Smoothing, offset and expected IoU come from two-fold cross-validation.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.network import Conditioning, LiteNetwork
from napari_vrp_sam.models.parallel import run_parallel
from napari_vrp_sam.models.probe.classical_features import gaussian_blur
from napari_vrp_sam.models.probe.encoded_shots import (
    Shot,
    pool_labels,
    restrict_to_fold,
    shots_with_class,
)

MAX_SHARE = 0.8
"""Share of a mask decoder that reproduces the annotation as well as the probe does."""

MAX_INCOMPLETE_SHARE = 0.95
"""The same for points, scribbles and boxes."""

MAX_REFERENCES = 3
"""Number of references for the share of the mask decoder; more hardly change it."""

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
"""Effort of fitting a probe to one fold; see `fit_ensemble`."""


def calibrate_class(network: LiteNetwork, conditioning: Conditioning) -> ClassCalibration:
    """Estimate the calibration of one class from the conditioning on all of its references.

    Smoothing, offset and expected IoU have their defaults if any annotation is not a mask, or if
    the annotation cannot be split into two folds.
    """
    share = decoder_share(network, conditioning)
    overlap = np.zeros((len(SMOOTHINGS), len(OFFSETS)))
    union = np.zeros_like(overlap)
    for shot, logits in _held_out_logits(network, conditioning, share):
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
        return ClassCalibration(share)
    ious = overlap / union
    log_likelihood = (ious - ious.max(axis=1, keepdims=True)) / TEMPERATURE
    posterior = np.exp(log_likelihood - np.square(OFFSETS) / (2 * OFFSET_PRIOR_STD**2))
    offsets = (posterior * OFFSETS).sum(axis=1) / posterior.sum(axis=1)
    reached = [float(np.interp(o, OFFSETS, row)) for o, row in zip(offsets, ious, strict=True)]
    best = int(np.argmax(reached))
    # Folds of several references are different frames already.
    expected = reached[best] * (1.0 if len(conditioning.shots) > 1 else OTHER_FRAMES_RATIO)
    return ClassCalibration(share, SMOOTHINGS[best], float(offsets[best]), expected)


def decoder_share(network: LiteNetwork, conditioning: Conditioning) -> float:
    """Return the share of the mask decoder's logits for one class; the pseudo-mask has the rest."""
    decoder_iou = probe_iou = 0.0
    for shot in shots_with_class(conditioning.shots)[:MAX_REFERENCES]:
        sparse, dense, pseudo_mask = network.prompt(shot.features, conditioning)
        decoded, _ = network.decode(shot.features, sparse, dense, pseudo_mask)
        decoder_iou += _iou(decoded, shot)
        probe_iou += _iou(pseudo_mask, shot)
    ratio = min(decoder_iou / max(probe_iou, 1e-6), 1.0)
    if any(shot.incomplete for shot in conditioning.shots):
        # The labels were completed by a probe, which favours the probe in this comparison.
        return MAX_INCOMPLETE_SHARE * ratio
    # Squared, because a decoder that reproduces half of the annotation is less than half as good.
    return MAX_SHARE * ratio**2


def smooth(logits: Tensor, sigma: float) -> Tensor:
    """Filter logits of shape (B, 1, h, w) with a Gaussian; `sigma` in cells, 0 for none."""
    return gaussian_blur(logits, sigma, truncate=3) if sigma else logits


def _iou(logits: Tensor, shot: Shot) -> float:
    """Return the IoU of logits of shape (1, 1, H / 2, W / 2) with the known labels of a shot."""
    foreground, background = pool_labels(shot)
    known = foreground + background > 0.5
    ground_truth, mask = (foreground > background) & known, (logits[:, 0] > 0) & known
    return float((ground_truth & mask).sum() / (ground_truth | mask).sum().clamp_min(1))


def _held_out_logits(
    network: LiteNetwork, conditioning: Conditioning, share: float
) -> list[tuple[Shot, Tensor]]:
    """Return the shots of each fold, with logits (1, 1, h, w) learned from the other fold."""
    shots = conditioning.shots
    if any(shot.fold is None or shot.incomplete for shot in shots):
        return []
    learners = [partial(_fold_logits, network, conditioning, share, fold) for fold in (0, 1)]
    on_cpu = shots[0].mask.device.type == "cpu"
    folds = run_parallel(learners) if on_cpu else [learn() for learn in learners]
    return [*folds[0], *folds[1]] if all(folds) else []


def _fold_logits(
    network: LiteNetwork, conditioning: Conditioning, share: float, fold: int
) -> list[tuple[Shot, Tensor]]:
    """Return the shots without a fold, with logits learned from that fold; empty without class."""
    learned, views, held_out = (
        [shot for shot in group if bool(shot.foreground.any() and shot.background.any())]
        for group in (
            [restrict_to_fold(shot, fold) for shot in conditioning.shots],
            [restrict_to_fold(view, fold) for view in conditioning.views],
            [restrict_to_fold(shot, 1 - fold) for shot in conditioning.shots],
        )
    )
    if not learned or not held_out:
        return []
    learner = network.condition(learned, views, effort=FOLD_EFFORT)
    results = []
    for shot in held_out:
        sparse, dense, logits = network.prompt(shot.features, learner)
        if share:
            decoded, _ = network.decode(shot.features, sparse, dense, logits)
            logits = torch.lerp(logits, decoded, share)
        results.append((shot, logits))
    return results
