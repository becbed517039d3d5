"""What `lite` is to learn from a batch of episodes; whoever trains it minimises this."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.probe.encoded_shots import Shot, make_shot
from napari_vrp_sam.training.losses import segmentation_loss
from napari_vrp_sam.training.promptable import geometric_task

QUALITY_WEIGHT = 0.1
"""Weight of the predicted IoU's squared error beside the paper's loss."""

PROBE_WEIGHT = 0.5
"""Weight of the probe's loss beside the mask decoder's, where the backbone is trained."""

UNPROBED = 0.15
"""Share of targets of which the mask decoder sees no probe, so that it learns to do without."""

STEEPER, SHIFTED = 0.4, 0.7
"""Standard deviations of what is changed in the probe's logits before the mask decoder sees them:
the logarithm of their scale, and an offset. The ensemble that it meets later is as differently
calibrated."""


def promptable_loss(
    network: LiteNetwork, batch: dict[str, Any], rng: np.random.Generator
) -> Tensor:
    """Loss of segmenting one object of each target from points or from its box.

    Parameters
    ----------
    network : LiteNetwork
    batch : dict
        See `training.episode.collate`.
    rng : Generator
        Of the prompts.
    """
    frames = batch["targets"].flatten(0, 1)
    masks = batch["target_masks"].flatten(0, 1)
    objects, points, labels, boxes, found = geometric_task(masks, rng)
    features = network.encode(frames)
    box = boxes if rng.random() < 0.5 else None
    sparse, dense = network.geometric_prompt(features, points, labels, box)
    nothing = frames.new_zeros(len(frames), 1, *(4 * n for n in dense.shape[-2:]))
    logits, quality = network.decode(features, sparse, dense, nothing)
    valid = batch["valid"].flatten(0, 1) & found[:, None, None]
    return _loss(logits, quality, objects, valid)[0]


def episodic_loss(
    network: LiteNetwork, batch: dict[str, Any], *, probe_too: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, IoU and the probe's IoU of segmenting targets from references.

    Parameters
    ----------
    network : LiteNetwork
    batch : dict
        See `training.episode.collate`.
    probe_too : bool
        Whether the probe's own loss counts, from which a backbone learns.
    """
    references, targets = batch["references"], batch["targets"]
    ignored = batch.get("reference_ignored")
    shots = references.shape[1]
    # One pass of the backbone over all frames of the batch.
    count = references.shape[1] + targets.shape[1]
    features = network.encode(torch.cat([references, targets], dim=1).flatten(0, 1))

    def frame(number: int) -> FrameFeatures:
        """Features of the episodes' frame of this number."""
        return FrameFeatures(
            features.size,
            features.embedding[number::count],
            tuple(m[number::count] for m in features.semantic),
        )

    def shot(number: int) -> Shot:
        reference = frame(number)
        return make_shot(
            reference,
            reference.semantic,
            batch["reference_masks"][:, number],
            [kinds[number] for kinds in batch["kinds"]],
            ignored=None if ignored is None else ignored[:, number],
        )

    conditioning = network.condition([shot(k) for k in range(shots)])
    losses, ious, probe_ious = [], [], []
    for number in range(targets.shape[1]):
        target = frame(shots + number)
        height, width = target.embedding.shape[-2:]
        probed = conditioning.probe.logits(target.semantic, (4 * height, 4 * width))
        seen = recalibrated(probed.detach()) if network.training else probed.detach()
        sparse, dense, pseudo = network.prompt(target, conditioning, seen)
        logits, quality = network.decode(target, sparse, dense, pseudo)
        truth, valid = batch["target_masks"][:, number], batch["valid"][:, number]
        loss, iou = _loss(logits, quality, truth, valid)
        if probe_too:
            own = segmentation_loss(full_size(probed, truth), truth, valid)
            loss = loss + PROBE_WEIGHT * own
        losses.append(loss)
        ious.append(iou)
        probe_ious.append(mask_iou(full_size(probed, truth), truth, valid))
    return torch.stack(losses).mean(), torch.cat(ious).mean(), torch.cat(probe_ious).mean()


def _loss(logits: Tensor, quality: Tensor, truth: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The paper's loss plus the error of the predicted IoU, and the IoU."""
    full = full_size(logits, truth)
    iou = mask_iou(full, truth, valid)
    # Masks of which no pixel counts have no IoU.
    counts = valid.any(dim=2).any(dim=1)
    error = ((quality[:, 0] - iou).square() * counts).sum() / counts.sum().clamp_min(1)
    return segmentation_loss(full, truth, valid) + QUALITY_WEIGHT * error, iou


def recalibrated(logits: Tensor) -> Tensor:
    """Logits of shape (B, 1, h, w), each scaled and shifted by chance, and some of them gone."""
    scale, shift, left = (logits.new_empty(len(logits), 1, 1, 1) for _ in range(3))
    changed = logits * scale.normal_(0, STEEPER).exp() + shift.normal_(0, SHIFTED)
    return changed * left.bernoulli_(1 - UNPROBED)


def full_size(logits: Tensor, truth: Tensor) -> Tensor:
    """Logits of shape (B, 1, h, w) at the size of the truth, (B, H, W)."""
    return F.interpolate(logits, truth.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def mask_iou(logits: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """IoU of each mask, shape (B,); an empty one that stays empty counts 1."""
    predicted, wanted = (logits > 0) & valid, (truth > 0.5) & valid
    overlap = (predicted & wanted).sum((1, 2)).float()
    union = (predicted | wanted).sum((1, 2)).float()
    return torch.where(union > 0, overlap / union.clamp_min(1), torch.ones_like(union)).detach()
