"""Probe model beside which a dense head is trained; nothing of the model itself is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.models.backbones.model import ProbeModel
from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.weights.catalogue import NETWORK_KEY, PROBE_KIND, REPOSITORY_KEY


@dataclass(eq=False)
class FixedEvaluation:
    """Logits that do not depend on trained weights. Implements `Evaluation`."""

    fixed: list[Tensor]

    def logits(self) -> list[Tensor]:
        """Return the logits of each frame, shape (K, Y, X)."""
        return self.fixed


class ProbeBesideHead:
    """Probe model, without a head of its own, beside a dense head in training."""

    def __init__(self, model: ProbeModel, recipe: FineTuningRecipe) -> None:
        model.head = None
        self._model = model
        self._recipe = recipe

    @torch.no_grad()
    def evaluation(
        self, references: Sequence[EncodedReference], frames: Sequence[Tensor]
    ) -> FixedEvaluation:
        """Fit the probe and segment the frames, once."""
        model = self._model
        model.effort = self._recipe.exam_effort
        prepared = model.prepare(references)
        encoded = (model.encode(frame[None]) for frame in frames)
        return FixedEvaluation(
            [model.decode(features, model.prompt(features, prepared)) for features in encoded]
        )

    def card(self) -> dict[str, str]:
        """Return the kind and the backbone, whose weights are not part of the file."""
        config = self._model.backbone.network.pretrained_cfg
        return {
            "kind": PROBE_KIND,
            NETWORK_KEY: self._model.backbone.name,
            REPOSITORY_KEY: str(config.get("hf_hub_id") or ""),
            "licence": str(config.get("license") or "unknown licence"),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return no tensors: the backbone is downloaded."""
        return {}
