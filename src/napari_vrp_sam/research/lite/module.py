"""Lightning module of `lite`: promptable training first, then episodic training."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.lite.parts import LiteConfig
from napari_vrp_sam.training.objective import episodic_loss, promptable_loss


class LiteModule(lightning.LightningModule):
    """Trains `lite`, with or without its backbone.

    Parameters
    ----------
    steps : int
        Length of the learning rate schedule.
    learning_rate : float, default: 3e-4
    weight_decay : float, default: 1e-2
    promptable_steps : int, default: 200
        Number of initial steps that train with points and boxes only; later, every eighth step
        does.
    backbone_rate : float, default: 0
        Learning rate of the backbone relative to that of the rest. With 0 it is frozen (paper,
        section 5.1). Otherwise it is also trained through the closed-form fit of the probe, as in
        DGPNet (Johnander et al., ECCV 2022).
    config : LiteConfig, optional
    seed : int, default: 0
        Seed of geometric prompts and dropout.
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
        """Compute the loss of a batch of episodes (see `training.episode.collate`)."""
        step = int(batch["step"])
        # Dropout depends only on seed and step, so that resumed runs are reproducible.
        seeds = [self.seed, step] + [self.global_rank] * (self.global_rank > 0)
        torch.manual_seed(int(np.random.default_rng(seeds).integers(2**62)))
        if step < self.promptable_steps or step % 8 == 0:
            loss = promptable_loss(self.network, batch, np.random.default_rng(seeds))
            self.log("loss/promptable", loss)
            return loss
        loss, iou, probe_iou = episodic_loss(
            self.network, batch, train_probe=self.backbone_rate > 0
        )
        self.log_dict({"loss/episodic": loss, "iou/lite": iou, "iou/probe": probe_iou})
        return loss

    def configure_optimizers(self) -> Any:
        """Return AdamW with a short warm-up and cosine decay to 0 (paper, section 5.1)."""
        groups: list[dict[str, Any]] = []
        trained = [(n, p) for n, p in self.network.named_parameters() if p.requires_grad]
        for backbone in (False, True):
            rate = self.learning_rate * (self.backbone_rate if backbone else 1.0)
            parameters = [p for n, p in trained if n.startswith("backbone.") == backbone]
            # Biases and scales do not decay.
            for matrices, decay in ((True, self.weight_decay), (False, 0.0)):
                params = [p for p in parameters if (p.ndim > 1) == matrices]
                groups += [{"params": params, "weight_decay": decay, "lr": rate}] if params else []
        optimiser = torch.optim.AdamW(groups)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, [g["lr"] for g in groups], total_steps=self.steps + 1, pct_start=0.05
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
