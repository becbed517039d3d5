"""Lightning module that trains a VRP encoder between frozen networks."""

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
"""Weight decay of AdamW, as published."""


@dataclass(frozen=True, eq=False)
class EncoderInputs:
    """Inputs of a VRP encoder for B episodes with K references each.

    Attributes
    ----------
    references : Tensor, shape (B * K, C, h, w)
        Semantic features; the references of an episode are consecutive.
    masks : Tensor, shape (B * K, 1, H, W)
        Annotations of the references in 0..1.
    targets : Tensor, shape (B, C, h, w)
        Semantic features.
    pseudo_masks : Tensor, shape (B * K, 1, h, w)
        Pseudo-masks of the targets, one for each reference.
    """

    references: Tensor
    masks: Tensor
    targets: Tensor
    pseudo_masks: Tensor


class FrozenNetworks(nn.Module, ABC):
    """The networks that are not trained: semantic encoder and SAM."""

    @abstractmethod
    def encoder_inputs(self, batch: dict[str, Any]) -> EncoderInputs:
        """Compute the inputs of the VRP encoder for a batch of episodes."""

    @abstractmethod
    def decode(self, batch: dict[str, Any], prompts: Tensor) -> Tensor:
        """Decode prompts, shape (B, N, D), to mask logits (B, 1, h, w) of the targets."""

    def train(self, mode: bool = True) -> FrozenNetworks:  # noqa: ARG002, FBT001, FBT002
        """Stay in evaluation mode, so that batch norm is frozen, too (paper, section 5.1)."""
        return super().train(mode=False)


class VRPModule(lightning.LightningModule):
    """Trains a VRP encoder by the paper's recipe (section 5.1).

    A batch consists of ``step``, ``target_masks`` (B, H, W) in 0..1, ``valid`` (B, H, W) of bool,
    and the inputs of `frozen`.

    Parameters
    ----------
    frozen : FrozenNetworks
    vrp_encoder : VRPEncoder
    steps : int
        Length of the cosine decay.
    learning_rate : float
    loss : {"both", "bce", "dice"}
    seed : int, default: 0
        Seed of the channel dropout.
    """

    def __init__(
        self,
        frozen: FrozenNetworks,
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
        """Compute mask logits of shape (B, H, W), the size of the target masks."""
        with torch.no_grad():
            inputs = self.frozen.encoder_inputs(batch)
        shots = len(inputs.references) // len(inputs.targets)
        prompts = self.vrp_encoder(
            inputs.references,
            inputs.masks,
            inputs.targets.repeat_interleave(shots, dim=0),
            inputs.pseudo_masks,
        )
        logits = self.frozen.decode(batch, concatenate_shots(prompts, shots))
        size = batch["target_masks"].shape[-2:]
        return F.interpolate(logits.float(), size, mode="bilinear", align_corners=False)[:, 0]

    def training_step(self, batch: dict[str, Any], _index: int = 0) -> Tensor:
        """Compute the loss of one batch."""
        # Dropout depends only on seed and step, so that resumed runs are reproducible.
        seeds = [self.seed, int(batch["step"]), self.global_rank]
        torch.manual_seed(int(np.random.default_rng(seeds).integers(2**62)))
        logits = self(batch)
        masks, valid = batch["target_masks"], batch["valid"]
        loss = segmentation_loss(logits, masks, valid, self.loss)
        self.log_dict({"loss": loss, "iou": mask_iou(logits, masks, valid).mean()})
        return loss

    def configure_optimizers(self) -> Any:
        """Return AdamW with cosine decay to 0 over all steps."""
        optimiser = torch.optim.AdamW(
            self.vrp_encoder.parameters(), lr=self.learning_rate, weight_decay=WEIGHT_DECAY
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Exclude the frozen networks, which would take gigabytes in each checkpoint."""
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {n: t for n, t in state.items() if not n.startswith("frozen.")}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the weights of the frozen networks."""
        checkpoint["state_dict"] = {**self.state_dict(), **checkpoint["state_dict"]}
