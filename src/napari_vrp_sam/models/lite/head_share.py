"""How much of a dense head a class gets: by what it draws of the annotation, and frame by frame.

A head that has learned from few frames fails without a warning where a frame looks otherwise. The
rest of `lite`, which learned from many kinds of images, fails less, and differently. So where both
see something else than each other, by the measure of the annotated frames, the head does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.calibration import OTHER_FRAMES
from napari_vrp_sam.models.lite.dense_head import DenseHead, full_size

DRAWN, UNDRAWN = 0.55, 0.25
"""IoU with the annotation from which on a head counts fully, and below which it does not."""

AGREED, DISAGREED = 0.75, 0.55
"""The same for the agreement of head and base on a frame, over that on the annotated frames. On 26
frames of five training sets no set lost by heads so bounded, of which one had lost 0.22 before."""


def calibrate_head(
    choice: ClassCalibration,
    head: DenseHead,
    references: Sequence[EncodedReference],
    bases: Sequence[Tensor],
) -> ClassCalibration:
    """The choice for one class, with what the dense head adds to it.

    Parameters
    ----------
    choice : ClassCalibration
        Without the head.
    head : DenseHead
    references : sequence of EncodedReference
        Of the class, on frames that show it. The head's logits are the last of their maps.
    bases : sequence of Tensor, each of shape (H, W)
        Logits of the class on each of these frames, without the head.
    """
    overlap, union = torch.zeros(2, len(head.class_ids))
    agreements = []
    for reference, base in zip(references, bases, strict=True):
        drawn = full_size(reference.features.semantic[-1], reference.features.size)[0] > 0
        known = _known(reference)
        marked = (reference.mask > 0.5) & known
        overlap += (drawn & marked).sum(dim=(1, 2)).cpu()
        union += ((drawn & known) | marked).sum(dim=(1, 2)).cpu()
        agreements.append([agreement(one, base > 0) for one in drawn])
    iou = overlap / union.clamp_min(1)
    channel = int(iou.argmax())
    share = head.share * _ramp(float(iou[channel]), UNDRAWN, DRAWN)
    if not share:
        return choice
    expected = choice.expected_iou
    if head.expected_iou is not None:
        expected = max(expected or 0.0, OTHER_FRAMES * head.expected_iou)
    agreed = sum(of_frame[channel] for of_frame in agreements) / len(agreements)
    return replace(
        choice,
        head_share=share,
        head_channel=channel,
        head_agreement=agreed,
        expected_iou=expected,
    )


def mixed(base: Tensor, drawn: Tensor, calibrations: Sequence[ClassCalibration]) -> Tensor:
    """Logits of a frame out of those of the base and of the head.

    Parameters
    ----------
    base : Tensor, shape (K, H, W)
    drawn : Tensor, shape (C, H, W)
        Of the head's classes.
    choices : sequence of ClassCalibration
        Of the K classes.
    """
    parts = []
    for own, choice in zip(base, calibrations, strict=True):
        of_head = drawn[choice.head_channel]
        share = choice.head_share
        if share:
            relative = agreement(own > 0, of_head > 0) / max(choice.head_agreement, 1e-6)
            share *= _ramp(relative, DISAGREED, AGREED)
        parts.append(torch.lerp(own, of_head, share) if share else own)
    return torch.stack(parts)


def agreement(one: Tensor, other: Tensor) -> float:
    """IoU of two masks; 1 where both are empty."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high`, straight between them."""
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _known(reference: EncodedReference) -> Tensor:
    """Pixels that tell whether the class is drawn; around sparse marks that is the marks alone."""
    if reference.kind in ("point", "scribble"):
        return reference.mask > 0.5
    if reference.ignored is None:
        return torch.ones_like(reference.mask, dtype=torch.bool)
    return ~reference.ignored
