"""The Lightning module that trains `lite`: promptable first, then episodic."""

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
        own = [self.seed, step] + [self.global_rank] * (self.global_rank > 0)
        torch.manual_seed(int(np.random.default_rng(own).integers(2**62)))
        if step < self.promptable_steps or step % 8 == 0:
            loss = self.promptable_loss(batch, np.random.default_rng(own))
            self.log("loss/promptable", loss)
            return loss
        loss, iou, probe_iou = self.episodic_loss(batch)
        self.log_dict({"loss/episodic": loss, "iou/lite": iou, "iou/probe": probe_iou})
        return loss

    def promptable_loss(self, batch: dict[str, Any], rng: np.random.Generator) -> Tensor:
        """See `objective.promptable_loss`."""
        return promptable_loss(self.network, batch, rng)

    def episodic_loss(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """See `objective.episodic_loss`."""
        return episodic_loss(self.network, batch, probe_too=self.backbone_rate > 0)

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
