"""Share of the mask decoder in the result of a class, by cross-validation on annotated frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.decision import shift_to_best_threshold
from napari_vrp_sam.models.probe.cross_validation import (
    OTHER_FRAMES_RATIO,
    Learn,
    choose_offset,
    held_out_logits,
    iou_of_logits,
    known_values,
)
from napari_vrp_sam.models.probe.encoded_shots import Shot

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Candidate shares of the mask decoder; the probe has the rest."""

NOISE = 0.01
"""Gain in IoU that a share above 0 must reach, because one frame does not show smaller ones."""

SPARSE_SHARE = 0.5
"""Share for points, scribbles and boxes if the decoder reproduces the labels as the probe does."""

MAX_REFERENCES = 3
"""Number of references that the share is estimated from."""

Segment = Callable[[Shot, Tensor], Tensor]
"""Function from a shot and its pseudo-mask logits (1, 1, h, w) to those of the mask decoder."""


def calibrate_share(
    shots: Sequence[Shot],
    learn: Learn,
    probe_logits: Callable[[Shot], Tensor],
    segment: Segment,
    views: Sequence[Shot] = (),
) -> ClassCalibration:
    """Estimate the calibration of one class: share of the mask decoder, offset, expected IoU.

    Parameters
    ----------
    shots : sequence of Shot
        References of the class with completed labels and folds.
    learn : callable
        Fits a probe to one fold; see `cross_validation.cross_validate`.
    probe_logits : callable
        Logits (1, 1, h, w) of the probe that is fitted to all shots.
    segment : callable
        Mask decoder.
    views : sequence of Shot
        Augmented views of the shots.

    Returns
    -------
    ClassCalibration
        The share is 0 unless the mask decoder is better than the probe alone by more than the
        noise. Without cross-validation, which needs masks, it depends on how well the decoder
        reproduces the labels, and there is no expected IoU.
    """

    def learn_both(part: Sequence[Shot], views: Sequence[Shot]) -> Callable[[Shot], Tensor]:
        predict = learn(part, views)

        def both(shot: Shot) -> Tensor:
            logits = predict(shot)
            return torch.cat([logits, segment(shot, logits)])

        return both

    held_out = held_out_logits(shots[:MAX_REFERENCES], views, learn_both)
    if held_out is None:
        return ClassCalibration(_share_of_sparse(shots, probe_logits, segment))
    # Folds of several references are different frames already.
    ratio = 1.0 if len(shots) > 1 else OTHER_FRAMES_RATIO
    candidates = []
    for share in SHARES:
        mixed = [(s, torch.lerp(both[:1], both[1:], share)) for s, both in held_out]
        values = [known_values(one) for one in mixed]
        offset = choose_offset(values)
        reached = iou_of_logits(
            [(shift_to_best_threshold((v + offset)[None])[0], truth) for v, truth in values]
        )
        candidates.append(ClassCalibration(share, 0.0, offset, ratio * reached))
    return max(candidates, key=lambda c: (c.expected_iou or 0.0) - NOISE * (c.decoder_share > 0))


def _share_of_sparse(
    shots: Sequence[Shot], probe_logits: Callable[[Shot], Tensor], segment: Segment
) -> float:
    decoder_iou = probe_iou = 0.0
    for shot in shots[:MAX_REFERENCES]:
        logits = probe_logits(shot)
        decoder_iou += iou_of_logits([known_values((shot, segment(shot, logits)))])
        probe_iou += iou_of_logits([known_values((shot, logits))])
    return SPARSE_SHARE * min(decoder_iou / max(probe_iou, 1e-6), 1.0) ** 2
