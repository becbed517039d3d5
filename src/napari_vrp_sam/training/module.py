"""The Lightning module that trains `lite`: promptable first, then episodic."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.lite_network import LiteNetwork
from napari_vrp_sam.models.lite_parts import LiteConfig
from napari_vrp_sam.models.shots import Shot, make_shot
from napari_vrp_sam.models.types import FrameFeatures
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


class LiteModule(lightning.LightningModule):
    """Trains `lite`: all but its backbone, or all of it.

    Parameters
    ----------
    steps : int
        Length of the cosine decay.
    learning_rate : float, default 3e-4
    weight_decay : float, default 1e-2
    promptable_steps : int, default 200
        First steps, which train on points and boxes alone; later every eighth step does.
    backbone_rate : float, default 0
        Learning rate of the backbone as a share of the rest's. 0 leaves it frozen (paper, section
        5.1). Else it learns from the probe too: the closed-form fit passes gradients on, as in
        DGPNet (Johnander et al., ECCV 2022).
    config : LiteConfig, optional
    seed : int, default 0
        Of the geometric prompts.
    """

    def __init__(
        self,
        steps: int,
        *,
        learning_rate: float = 3e-4,
        weight_decay: float = 1e-2,
        promptable_steps: int = 200,
        backbone_rate: float = 0.0,
        config: LiteConfig | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network = LiteNetwork(config)
        self.network.backbone.requires_grad_(requires_grad=backbone_rate > 0)
        self.steps = steps
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.promptable_steps = promptable_steps
        self.backbone_rate = backbone_rate
        self.seed = seed

    def training_step(self, batch: dict[str, Any], _index: int = 0) -> Tensor:
        """Loss of one batch of episodes (see `training.episodes.collate`)."""
        step = int(batch["step"])
        # Dropout is a function of seed and step too: a resumed run repeats an uninterrupted one.
        torch.manual_seed(int(np.random.default_rng([self.seed, step]).integers(2**62)))
        if step < self.promptable_steps or step % 8 == 0:
            loss = self.promptable_loss(batch, np.random.default_rng([self.seed, step]))
            self.log("loss/promptable", loss)
            return loss
        loss, iou, probe_iou = self.episodic_loss(batch)
        self.log_dict({"loss/episodic": loss, "iou/lite": iou, "iou/probe": probe_iou})
        return loss

    def promptable_loss(self, batch: dict[str, Any], rng: np.random.Generator) -> Tensor:
        """Loss of segmenting one object of each target from points or from its box."""
        frames = batch["targets"].flatten(0, 1)
        masks = batch["target_masks"].flatten(0, 1)
        objects, points, labels, boxes, found = geometric_task(masks, rng)
        features = self.network.encode(frames)
        box = boxes if rng.random() < 0.5 else None
        sparse, dense = self.network.geometric_prompt(features, points, labels, box)
        nothing = frames.new_zeros(len(frames), 1, *(4 * n for n in dense.shape[-2:]))
        logits, quality = self.network.decode(features, sparse, dense, nothing)
        valid = batch["valid"].flatten(0, 1) & found[:, None, None]
        return self._loss(logits, quality, objects, valid)[0]

    def episodic_loss(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, IoU and the probe's IoU of segmenting targets from references."""
        references, targets = batch["references"], batch["targets"]
        shots = references.shape[1]
        # One pass of the backbone over all frames of the batch.
        count = references.shape[1] + targets.shape[1]
        features = self.network.encode(torch.cat([references, targets], dim=1).flatten(0, 1))

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
            )

        conditioning = self.network.condition([shot(k) for k in range(shots)])
        losses, ious, probe_ious = [], [], []
        for number in range(targets.shape[1]):
            target = frame(shots + number)
            height, width = target.embedding.shape[-2:]
            probed = conditioning.probe.logits(target.semantic, (4 * height, 4 * width))
            seen = _recalibrated(probed.detach()) if self.training else probed.detach()
            sparse, dense, pseudo = self.network.prompt(target, conditioning, seen)
            logits, quality = self.network.decode(target, sparse, dense, pseudo)
            truth, valid = batch["target_masks"][:, number], batch["valid"][:, number]
            loss, iou = self._loss(logits, quality, truth, valid)
            if self.backbone_rate:
                own = segmentation_loss(_full_size(probed, truth), truth, valid)
                loss = loss + PROBE_WEIGHT * own
            losses.append(loss)
            ious.append(iou)
            probe_ious.append(_iou(_full_size(probed, truth), truth, valid))
        return torch.stack(losses).mean(), torch.cat(ious).mean(), torch.cat(probe_ious).mean()

    def configure_optimizers(self) -> Any:
        """AdamW with a short warm-up and cosine decay per step to 0 (paper, section 5.1)."""
        groups: list[dict[str, Any]] = []
        trained = [(n, p) for n, p in self.network.named_parameters() if p.requires_grad]
        for of_backbone in (False, True):
            rate = self.learning_rate * (self.backbone_rate if of_backbone else 1.0)
            own = [p for name, p in trained if name.startswith("backbone.") == of_backbone]
            for matrices, decay in ((True, self.weight_decay), (False, 0.0)):
                params = [p for p in own if (p.ndim > 1) == matrices]
                groups += [{"params": params, "weight_decay": decay, "lr": rate}] if params else []
        optimiser = torch.optim.AdamW(groups)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, [g["lr"] for g in groups], total_steps=self.steps + 1, pct_start=0.05
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _loss(
        self, logits: Tensor, quality: Tensor, truth: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The paper's loss plus the error of the predicted IoU, and the IoU."""
        full = _full_size(logits, truth)
        iou = _iou(full, truth, valid)
        # Masks of which no pixel counts have no IoU.
        counts = valid.any(dim=2).any(dim=1)
        error = ((quality[:, 0] - iou).square() * counts).sum() / counts.sum().clamp_min(1)
        return segmentation_loss(full, truth, valid) + QUALITY_WEIGHT * error, iou


def _recalibrated(logits: Tensor) -> Tensor:
    """Logits of shape (B, 1, h, w), each scaled and shifted by chance, and some of them gone."""
    scale, shift, left = (logits.new_empty(len(logits), 1, 1, 1) for _ in range(3))
    changed = logits * scale.normal_(0, STEEPER).exp() + shift.normal_(0, SHIFTED)
    return changed * left.bernoulli_(1 - UNPROBED)


def _full_size(logits: Tensor, truth: Tensor) -> Tensor:
    """Logits of shape (B, 1, h, w) at the size of the truth, (B, H, W)."""
    return F.interpolate(logits, truth.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def _iou(logits: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """IoU of each mask, shape (B,); an empty one that stays empty counts 1."""
    predicted, wanted = (logits > 0) & valid, (truth > 0.5) & valid
    overlap = (predicted & wanted).sum((1, 2)).float()
    union = (predicted | wanted).sum((1, 2)).float()
    return torch.where(union > 0, overlap / union.clamp_min(1), torch.ones_like(union)).detach()
