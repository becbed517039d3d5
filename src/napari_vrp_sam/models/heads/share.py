"""Share of a dense head in the result, for each class and each frame.

A head trained on few frames fails without warning on frames of another appearance. The model beside
it knows many kinds of images; it fails less often, and on other frames. So the head has no share on
frames where the two agree less than on the annotated frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from napari_vrp_sam.models.base import SPARSE_KINDS, EncodedReference, FrameFeatures, Model
from napari_vrp_sam.models.calibration import ClassCalibration, ramp
from napari_vrp_sam.models.heads.dense_head import DenseHead
from napari_vrp_sam.models.padding import resize_to_frame
from napari_vrp_sam.models.probe.cross_validation import OTHER_FRAMES_RATIO

LOGIT_LIMIT = 8.0
"""Bound of the head's logits, that of the models."""

MAX_REFERENCES = 3
"""Number of references that the share is estimated from."""

IOU_RAMP = (0.25, 0.55)
"""IoU of the head with the annotation up to which its share is 0, and from which it is full."""

AGREEMENT_RAMP = (0.55, 0.75)
"""The same for the agreement of head and base on a frame, relative to that on the annotated frames.
With these bounds no dataset lost on 26 frames of five training datasets; before, one lost 0.22."""


class _Prepared(Protocol):
    """Class that a model has prepared."""

    @property
    def calibration(self) -> ClassCalibration: ...


def calibrate_head(
    calibration: ClassCalibration,
    head: DenseHead,
    references: Sequence[EncodedReference],
    base_logits: Sequence[Tensor],
) -> ClassCalibration:
    """Add the share of the dense head to the calibration of one class.

    Parameters
    ----------
    calibration : ClassCalibration
        Calibration without the head; returned as it is if the head cannot reproduce the annotation.
    head : DenseHead
    references : sequence of EncodedReference
        References with a non-empty mask. The last of their maps are the head's logits.
    base_logits : sequence of Tensor, each of shape (H, W)
        Logits of the class on their frames, without the head.
    """
    overlap, union = torch.zeros(2, len(head.class_ids))
    agreements = []
    for reference, base in zip(references, base_logits, strict=True):
        masks = resize_to_frame(reference.features.semantic[-1], reference.mask.shape)[0] > 0
        known = _known_pixels(reference)
        annotation = (reference.mask > 0.5) & known
        overlap += (masks & annotation).sum(dim=(1, 2)).cpu()
        union += ((masks & known) | annotation).sum(dim=(1, 2)).cpu()
        agreements.append([agreement(mask, base > 0) for mask in masks])
    iou = overlap / union.clamp_min(1)
    channel = int(iou.argmax())
    share = head.share * ramp(float(iou[channel]), IOU_RAMP)
    if not share:
        return calibration
    expected = calibration.expected_iou
    if head.expected_iou is not None:
        expected = max(expected or 0.0, OTHER_FRAMES_RATIO * head.expected_iou)
    return replace(
        calibration,
        head_share=share,
        head_channel=channel,
        head_agreement=sum(frame[channel] for frame in agreements) / len(agreements),
        expected_iou=expected,
    )


def calibrate_model_head(
    model: Model, head: DenseHead, prepared: _Prepared, references: Sequence[EncodedReference]
) -> ClassCalibration:
    """Add the share of the dense head to the calibration of a class that a model has prepared.

    Parameters
    ----------
    model : Model
    head : DenseHead
    prepared : object
        Class that the model has prepared, without the head.
    references : sequence of EncodedReference
        References of the class.
    """
    marked = [r for r in references if bool(r.mask.any())][:MAX_REFERENCES]
    base = [model.decode(r.features, model.prompt(r.features, [prepared]))[0] for r in marked]
    return calibrate_head(prepared.calibration, head, marked, base)


def add_head(
    logits: Tensor, features: FrameFeatures, calibrations: Sequence[ClassCalibration]
) -> Tensor:
    """Mix the logits of a frame, shape (K, H, W), with those of the head in its last map."""
    if not any(c.head_share for c in calibrations):
        return logits
    from_head = resize_to_frame(features.semantic[-1], logits.shape[-2:])[0]
    return mix_with_head(logits, from_head, calibrations)


def mix_with_head(base: Tensor, head: Tensor, calibrations: Sequence[ClassCalibration]) -> Tensor:
    """Mix the logits of a frame with those of the dense head.

    The logits without the head (K, H, W) and the calibrations are those of the K classes of the
    result, the logits of the head (C, H, W) those of its own C classes.
    """
    head = head.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
    mixed = []
    for logits, calibration in zip(base, calibrations, strict=True):
        from_head = head[calibration.head_channel]
        share = calibration.head_share
        if share:
            agreed = agreement(logits > 0, from_head > 0)
            share *= ramp(agreed / max(calibration.head_agreement, 1e-6), AGREEMENT_RAMP)
        mixed.append(torch.lerp(logits, from_head, share) if share else logits)
    return torch.stack(mixed)


def agreement(one: Tensor, other: Tensor) -> float:
    """Return the IoU of two masks; 1 if both are empty."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


def _known_pixels(reference: EncodedReference) -> Tensor:
    """Return the pixels of known label; with sparse annotations these are the marks only."""
    if reference.kind in SPARSE_KINDS:
        marked = reference.mask > 0.5
        return marked if reference.negative is None else marked | reference.negative
    if reference.ignored is None:
        return torch.ones_like(reference.mask, dtype=torch.bool)
    return ~reference.ignored
