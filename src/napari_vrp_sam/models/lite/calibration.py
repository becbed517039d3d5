"""How the result of a class is put together: chosen by what its own annotation tells.

The mask decoder's share follows from how well it draws the annotated frame (see `decoder_share`).
Threshold and smoothing are chosen by cross-validation: one half of the annotation is learned from,
the other is segmented, and the other way round. The same runs tell what IoU to expect on frames
that nobody annotated, which is less.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.decoder_share import decoder_share
from napari_vrp_sam.models.lite.network import Conditioning, LiteNetwork
from napari_vrp_sam.models.probe.classical_features import blurred
from napari_vrp_sam.models.probe.encoded_shots import Shot
from napari_vrp_sam.models.probe.hold_out import kept

SMOOTHINGS = (0.0, 0.7)
"""Gaussian sigmas in cells of the pseudo-mask that are tried."""

OFFSETS = (-1.2, -0.8, -0.4, 0.0, 0.4, 0.8)
"""Offsets of the logits that are tried."""

OFFSET_SPREAD = 0.5
"""Standard deviation of what offsets are believed to be before anything is seen."""

TEMPERATURE = 0.01
"""IoU that makes an offset e times as credible. Half a frame cannot tell offsets apart that are
nearly as good, and the best of them by chance is no better than their mean."""


OTHER_FRAMES = 0.8
"""IoU on other frames over that on the other half of the annotated one: 0.81 was the slope over 41
classes of 8 training sets, and 0.80 over 94 classes of the 14 evaluation sets."""

EFFORT = 0.35
"""Of fitting a probe on one half of the annotation; see `fit_ensemble`."""


def choose(network: LiteNetwork, conditioning: Conditioning) -> ClassCalibration:
    """Choose decoder share, smoothing and offset of one class.

    Parameters
    ----------
    network : LiteNetwork
    conditioning : Conditioning
        Of one class, fitted on all of its references.

    Returns
    -------
    Choice
        Without smoothing, offset and expected IoU where they cannot be told: annotations other
        than masks leave too much open, and some cannot be halved.
    """
    share = decoder_share(network, conditioning)
    overlap = np.zeros((len(SMOOTHINGS), len(OFFSETS)))
    union = np.zeros_like(overlap)
    for shot, logits in _held_out(network, conditioning, share):
        # At full size: what is thin has another area on the pseudo-mask's grid.
        known = shot.foreground + shot.background > 0.5
        truth = (shot.foreground > shot.background)[known]
        size = (shot.mask.shape[-2], shot.mask.shape[-1])
        for i, sigma in enumerate(SMOOTHINGS):
            values = F.interpolate(smoothed(logits, sigma), size, mode="bilinear")[:, 0][known]
            for j, offset in enumerate(OFFSETS):
                found = values > -offset
                overlap[i, j] += float((found & truth).sum())
                union[i, j] += float((found | truth).sum())
    if not union.all():
        return ClassCalibration(share)
    scores = overlap / union
    evidence = (scores - scores.max(axis=1, keepdims=True)) / TEMPERATURE
    credible = np.exp(evidence - np.square(OFFSETS) / (2 * OFFSET_SPREAD**2))
    offsets = (credible * OFFSETS).sum(axis=1) / credible.sum(axis=1)
    reached = [float(np.interp(o, OFFSETS, row)) for o, row in zip(offsets, scores, strict=True)]
    best = int(np.argmax(reached))
    # Several references show each other's frames; one shows its own.
    expected = reached[best] * (1.0 if len(conditioning.shots) > 1 else OTHER_FRAMES)
    return ClassCalibration(share, SMOOTHINGS[best], float(offsets[best]), expected)


def smoothed(logits: Tensor, sigma: float) -> Tensor:
    """Gaussian of logits of shape (B, 1, h, w); `sigma` in cells."""
    return blurred(logits, sigma, truncate=3) if sigma else logits


def _held_out(
    network: LiteNetwork, conditioning: Conditioning, share: float
) -> list[tuple[Shot, Tensor]]:
    """Every half of the annotation, and the logits (1, 1, h, w) of who knows the other half."""
    shots = conditioning.shots
    if any(shot.half is None or bool((shot.sparse | shot.loose).any()) for shot in shots):
        return []
    held = []
    for side in (0, 1):
        learned, views, unseen = (
            [shot for shot in parts if bool(shot.foreground.any() and shot.background.any())]
            for parts in (
                [kept(shot, side) for shot in shots],
                [kept(view, side) for view in conditioning.views],
                [kept(shot, 1 - side) for shot in shots],
            )
        )
        if not learned or not unseen:
            return []
        fold = network.condition(learned, views, effort=EFFORT)
        for shot in unseen:
            sparse, dense, logits = network.prompt(shot.features, fold)
            if share:
                decoded, _ = network.decode(shot.features, sparse, dense, logits)
                logits = torch.lerp(logits, decoded, share)
            held.append((shot, logits))
    return held
