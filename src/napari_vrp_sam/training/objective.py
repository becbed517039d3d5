"""Training objectives of `lite`: promptable and episodic segmentation of a batch of episodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.lite.network import Conditioning, LiteNetwork
from napari_vrp_sam.models.probe.encoded_shots import Shot, make_shot
from napari_vrp_sam.training.losses import segmentation_loss
from napari_vrp_sam.training.promptable import sample_geometric_prompts

QUALITY_WEIGHT = 0.1
"""Weight of the squared error of the predicted IoU, relative to the segmentation loss."""

PROBE_WEIGHT = 0.5
"""Weight of the probe's loss, relative to that of the mask decoder, if the backbone is trained."""

PROBE_DROPOUT = 0.15
"""Probability that the probe's logits are hidden from the mask decoder."""

LOG_SCALE_STD, OFFSET_STD = 0.4, 0.7
"""Standard deviations of the random scale (its logarithm) and offset of the probe's logits.
The mask decoder has to cope with the calibration of any probe that it is used with later."""


def promptable_loss(
    network: LiteNetwork, batch: dict[str, Any], rng: np.random.Generator
) -> Tensor:
    """Compute the loss of segmenting one object of each target from points or its box.

    Parameters
    ----------
    network : LiteNetwork
    batch : dict
        Result of `collate`.
    rng : Generator
        Source of the prompts.
    """
    frames = batch["targets"].flatten(0, 1)
    masks = batch["target_masks"].flatten(0, 1)
    objects, points, labels, boxes, found = sample_geometric_prompts(masks, rng)
    features = network.encode(frames)
    box = boxes if rng.random() < 0.5 else None
    sparse, dense = network.geometric_prompt(features, points, labels, box)
    no_pseudo_mask = frames.new_zeros(len(frames), 1, *(4 * n for n in dense.shape[-2:]))
    logits, quality = network.decode(features, sparse, dense, no_pseudo_mask)
    valid = batch["valid"].flatten(0, 1) & found[:, None, None]
    return _loss(logits, quality, objects, valid)[0]


def episodic_loss(
    network: LiteNetwork, batch: dict[str, Any], *, train_probe: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the loss of segmenting targets from references.

    Parameters
    ----------
    network : LiteNetwork
    batch : dict
        Result of `collate`.
    train_probe : bool, default: False
        Add the loss of the probe, whose closed-form fit passes gradients to the backbone.

    Returns
    -------
    loss, iou, probe_iou : Tensor
        Scalars: the loss, and the mean IoU of the network and of its probe alone.
    """
    conditioning, targets = encode_episodes(network, batch)
    return loss_on_targets(network, conditioning, targets, batch, train_probe=train_probe)


def encode_episodes(
    network: LiteNetwork, batch: dict[str, Any]
) -> tuple[Conditioning, list[FrameFeatures]]:
    """Prepare the references and encode the targets of a batch of episodes."""
    references, targets = batch["references"], batch["targets"]
    ignored = batch.get("reference_ignored")
    shots = references.shape[1]
    # One pass of the backbone over all frames of the batch.
    count = shots + targets.shape[1]
    features = network.encode(torch.cat([references, targets], dim=1).flatten(0, 1))

    def frame(number: int) -> FrameFeatures:
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
    return conditioning, [frame(shots + number) for number in range(targets.shape[1])]


def loss_on_targets(
    network: LiteNetwork,
    conditioning: Conditioning,
    targets: Sequence[FrameFeatures],
    batch: dict[str, Any],
    *,
    train_probe: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the loss of `episodic_loss` for encoded targets and prepared references.

    Each of the features is that of one target of all episodes.
    """
    losses, ious, probe_ious = [], [], []
    for number, target in enumerate(targets):
        height, width = target.embedding.shape[-2:]
        probe_logits = conditioning.probe.logits(target.semantic, (4 * height, 4 * width))
        prior = probe_logits.detach()
        sparse, dense, pseudo_mask = network.prompt(
            target, conditioning, jitter_calibration(prior) if network.training else prior
        )
        logits, quality = network.decode(target, sparse, dense, pseudo_mask)
        masks, valid = batch["target_masks"][:, number], batch["valid"][:, number]
        loss, iou = _loss(logits, quality, masks, valid)
        probe_logits = _resize_to(probe_logits, masks)
        if train_probe:
            loss = loss + PROBE_WEIGHT * segmentation_loss(probe_logits, masks, valid)
        losses.append(loss)
        ious.append(iou)
        probe_ious.append(mask_iou(probe_logits, masks, valid))
    return torch.stack(losses).mean(), torch.cat(ious).mean(), torch.cat(probe_ious).mean()


def _loss(logits: Tensor, quality: Tensor, masks: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return the segmentation loss plus the error of the predicted IoU, and the IoU."""
    logits = _resize_to(logits, masks)
    iou = mask_iou(logits, masks, valid)
    # Masks without a valid pixel have no IoU.
    counts = valid.any(dim=2).any(dim=1)
    error = ((quality[:, 0] - iou).square() * counts).sum() / counts.sum().clamp_min(1)
    return segmentation_loss(logits, masks, valid) + QUALITY_WEIGHT * error, iou


def jitter_calibration(logits: Tensor) -> Tensor:
    """Scale and shift logits, shape (B, 1, h, w), at random, and set some of them to 0."""
    scale, offset, kept = (logits.new_empty(len(logits), 1, 1, 1) for _ in range(3))
    changed = logits * scale.normal_(0, LOG_SCALE_STD).exp() + offset.normal_(0, OFFSET_STD)
    return changed * kept.bernoulli_(1 - PROBE_DROPOUT)


def _resize_to(logits: Tensor, masks: Tensor) -> Tensor:
    """Resize logits of shape (B, 1, h, w) to that of the masks, (B, H, W)."""
    return F.interpolate(logits, masks.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def mask_iou(logits: Tensor, masks: Tensor, valid: Tensor) -> Tensor:
    """Compute the IoU of each mask, shape (B,); an empty mask predicted as empty scores 1."""
    predicted, expected = (logits > 0) & valid, (masks > 0.5) & valid
    overlap = (predicted & expected).sum((1, 2)).float()
    union = (predicted | expected).sum((1, 2)).float()
    return torch.where(union > 0, overlap / union.clamp_min(1), torch.ones_like(union)).detach()
