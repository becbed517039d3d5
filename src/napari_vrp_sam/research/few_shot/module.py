"""The Lightning module that trains a VRP encoder between parts that stay as they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder, concatenate_shots
from napari_vrp_sam.training.losses import LossKind, segmentation_loss
from napari_vrp_sam.training.objective import mask_iou

WEIGHT_DECAY = 1e-6
"""Of AdamW, as published."""


@dataclass(frozen=True, eq=False)
class EpisodeView:
    """What a VRP encoder sees of B episodes with K references each.

    Attributes
    ----------
    references : Tensor, shape (B * K, C, h, w)
        Semantic features; those of an episode follow each other.
    masks : Tensor, shape (B * K, 1, H, W)
        Their annotations in 0..1.
    targets : Tensor, shape (B, C, h, w)
    pseudo_masks : Tensor, shape (B * K, 1, h, w)
        Where the target may show the class, by each reference.
    """

    references: Tensor
    masks: Tensor
    targets: Tensor
    pseudo_masks: Tensor


class Frozen(nn.Module, ABC):
    """All that does not learn: semantic encoder, image embeddings, SAM's mask decoder."""

    @abstractmethod
    def view(self, batch: dict[str, Any]) -> EpisodeView:
        """What the VRP encoder sees of a batch of episodes."""

    @abstractmethod
    def decode(self, batch: dict[str, Any], prompts: Tensor) -> Tensor:
        """Mask logits (B, 1, h, w) of the targets, from prompts of shape (B, N, D)."""

    def train(self, mode: bool = True) -> Frozen:  # noqa: ARG002, FBT001, FBT002
        """Stay in evaluation mode, batch norm above all (paper, section 5.1)."""
        return super().train(mode=False)


class VRPModule(lightning.LightningModule):
    """Trains a VRP encoder by the paper's recipe (section 5.1).

    A batch tells ``step``, ``target_masks`` (B, H, W) in 0..1, ``valid`` (B, H, W) of bool, and
    whatever `frozen` asks for.

    Parameters
    ----------
    frozen : Frozen
    vrp_encoder : VRPEncoder
    steps : int
        Length of the cosine decay.
    learning_rate : float
    loss : {"both", "bce", "dice"}
    seed : int, default 0
        Of the channel dropout.
    """

    def __init__(
        self,
        frozen: Frozen,
        vrp_encoder: VRPEncoder,
        steps: int,
        *,
        learning_rate: float,
        loss: LossKind = "both",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.frozen = frozen.requires_grad_(requires_grad=False)
        self.vrp_encoder = vrp_encoder
        self.steps = steps
        self.learning_rate = learning_rate
        self.loss = loss
        self.seed = seed

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Mask logits of shape (B, H, W), at the size of the batch's truth."""
        with torch.no_grad():
            view = self.frozen.view(batch)
        shots = len(view.references) // len(view.targets)
        prompts = self.vrp_encoder(
            view.references,
            view.masks,
            view.targets.repeat_interleave(shots, dim=0),
            view.pseudo_masks,
        )
        logits = self.frozen.decode(batch, concatenate_shots(prompts, shots))
        size = batch["target_masks"].shape[-2:]
        return F.interpolate(logits.float(), size, mode="bilinear", align_corners=False)[:, 0]

    def training_step(self, batch: dict[str, Any], _index: int = 0) -> Tensor:
        """Loss of one batch."""
        # Dropout is a function of seed and step too: a resumed run repeats an uninterrupted one.
        own = [self.seed, int(batch["step"]), self.global_rank]
        torch.manual_seed(int(np.random.default_rng(own).integers(2**62)))
        logits = self(batch)
        truth, valid = batch["target_masks"], batch["valid"]
        loss = segmentation_loss(logits, truth, valid, self.loss)
        self.log_dict({"loss": loss, "iou": mask_iou(logits, truth, valid).mean()})
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with cosine decay per step to 0."""
        optimiser = torch.optim.AdamW(
            self.vrp_encoder.parameters(), lr=self.learning_rate, weight_decay=WEIGHT_DECAY
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what learns alone: SAM would make gigabytes of every checkpoint."""
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {n: t for n, t in state.items() if not n.startswith("frozen.")}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what never changed."""
        checkpoint["state_dict"] = {**self.state_dict(), **checkpoint["state_dict"]}
