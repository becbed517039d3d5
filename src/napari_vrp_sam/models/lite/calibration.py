"""Calibration of a class: mask decoder share, offset and expected IoU.

All are estimated on the annotated frames. The mask decoder cannot reproduce structures that are
finer than its grid or unlike its training data, not even on the annotated frame itself, where a
probe can. So its share depends on how well it reproduces the annotation, compared with the probe.
Offset and expected IoU come from two-fold cross-validation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.decision import USUAL_EDGE_SHARE
from napari_vrp_sam.models.lite.network import Conditioning, LiteNetwork
from napari_vrp_sam.models.lite.parts import INTENSITIES
from napari_vrp_sam.models.probe.cross_validation import FOLD_EFFORT, Predict, cross_validate
from napari_vrp_sam.models.probe.encoded_shots import Shot, pool_labels, shots_with_class

MAX_SHARE = 0.8
"""Share of a mask decoder that reproduces the annotation as well as the probe does."""

MAX_INCOMPLETE_SHARE = 0.95
"""The same for points, scribbles and boxes."""

MAX_REFERENCES = 3
"""Number of references for the share of the mask decoder; more hardly change it."""


def calibrate_class(network: LiteNetwork, conditioning: Conditioning) -> ClassCalibration:
    """Estimate the calibration of one class from the conditioning on all of its references.

    Offset and expected IoU have their defaults if any annotation is not a mask, or if
    the annotation cannot be split into two folds.
    """
    share = decoder_share(network, conditioning)

    def learn(shots: Sequence[Shot], views: Sequence[Shot]) -> Predict:
        learned = network.condition(shots, views, effort=FOLD_EFFORT)

        def predict(shot: Shot) -> Tensor:
            sparse, dense, logits = network.prompt(shot.features, learned)
            if share:
                decoded, _ = network.decode(shot.features, sparse, dense, logits)
                logits = torch.lerp(logits, decoded, share)
            return logits

        return predict

    estimates = cross_validate(
        conditioning.shots,
        conditioning.views,
        learn,
        lambda shot: shot.features.semantic[INTENSITIES],
    )
    return ClassCalibration(share, *(estimates or (USUAL_EDGE_SHARE,)))


def decoder_share(network: LiteNetwork, conditioning: Conditioning) -> float:
    """Return the share of the mask decoder's logits for one class; the pseudo-mask has the rest."""
    decoder_iou = probe_iou = 0.0
    for shot in shots_with_class(conditioning.shots)[:MAX_REFERENCES]:
        # Trees without views remember the annotated frame.
        sparse, dense, pseudo_mask = network.prompt(shot.features, conditioning, plain_weight=0.0)
        decoded, _ = network.decode(shot.features, sparse, dense, pseudo_mask)
        decoder_iou += _iou(decoded, shot)
        probe_iou += _iou(pseudo_mask, shot)
    ratio = min(decoder_iou / max(probe_iou, 1e-6), 1.0)
    if any(shot.incomplete for shot in conditioning.shots):
        # The labels were completed by a probe, which favours the probe in this comparison.
        return MAX_INCOMPLETE_SHARE * ratio
    # Squared, because a decoder that reproduces half of the annotation is less than half as good.
    return MAX_SHARE * ratio**2


def _iou(logits: Tensor, shot: Shot) -> float:
    """Return the IoU of logits of shape (1, 1, H / 2, W / 2) with the known labels of a shot."""
    foreground, background = pool_labels(shot)
    known = foreground + background > 0.5
    ground_truth, mask = (foreground > background) & known, (logits[:, 0] > 0) & known
    return float((ground_truth & mask).sum() / (ground_truth | mask).sum().clamp_min(1))
