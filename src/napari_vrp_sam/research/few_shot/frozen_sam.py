"""Frozen networks of a full-size model, applied to cached image embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.sam.mask_decoder import decode_masks
from napari_vrp_sam.models.vrp.pseudo_mask import correlation
from napari_vrp_sam.models.vrp.semantic_encoders import concatenate_stages
from napari_vrp_sam.research.few_shot.module import EncoderInputs, FrozenNetworks


@dataclass(frozen=True)
class Canvas:
    """Geometry of the semantic encoder's input.

    Attributes
    ----------
    side : int
        Side of the square canvas in pixels.
    fill : tuple of float
        Colour of its padding, in 0..1.
    grid : tuple of int
        Rows and columns of the feature map of stage 3.
    """

    side: int
    fill: tuple[float, float, float]
    grid: tuple[int, int]

    @classmethod
    @torch.no_grad()
    def from_model(cls, model: FullSizeModel) -> Canvas:
        """Determine the geometry by encoding an empty canvas."""
        side = model.semantic_side
        device = next(model.semantic.parameters()).device
        _, stage_3, _ = model.semantic(torch.zeros(1, 3, side, side, device=device))
        grid = (stage_3.shape[-2], stage_3.shape[-1])
        return cls(side, model.semantic.mean, grid)


class FrozenSam(FrozenNetworks):
    """SAM's mask decoder and the semantic encoder, for batches of `FewShotStream`.

    Parameters
    ----------
    model : FullSizeModel
        The image encoder is not used, because embeddings are cached.
    """

    def __init__(self, model: FullSizeModel) -> None:
        super().__init__()
        self.mask_decoder = model.sam.mask_decoder
        self.prompt_encoder = model.sam.prompt_encoder
        self.semantic = model.semantic

    def encoder_inputs(self, batch: dict[str, Any]) -> EncoderInputs:
        """See `FrozenNetworks`; equals what `FullSizeModel` computes, for a whole batch."""
        frames = batch["references"].flatten(0, 1)
        count, shots = len(frames), len(frames) // len(batch["targets"])
        stages = self.semantic(torch.cat([frames, batch["targets"]]))
        of_references, of_targets = [s[:count] for s in stages], [s[count:] for s in stages]
        masks = batch["reference_masks"].flatten(0, 1)[:, None]
        masked = self.semantic.stage_4(of_references[1] * masks)
        with torch.autocast(frames.device.type, enabled=False):
            similarity = correlation(
                of_targets[2].float().repeat_interleave(shots, dim=0), masked.float(), masks
            )
        grid = of_targets[1].shape[-2:]
        pseudo_masks = F.interpolate(similarity, grid, mode="bilinear", align_corners=True)
        return EncoderInputs(
            concatenate_stages(*of_references[:2]),
            masks,
            concatenate_stages(*of_targets[:2]),
            pseudo_masks * batch["inside"].repeat_interleave(shots, dim=0),
        )

    def decode(self, batch: dict[str, Any], prompts: Tensor) -> Tensor:
        """See `FrozenNetworks`; the logits cover the canvas."""
        position = self.prompt_encoder.get_dense_pe()
        no_mask = self.prompt_encoder.no_mask_embed.weight[..., None, None]
        dense = no_mask.expand(len(prompts), -1, *position.shape[-2:])
        embeddings = batch["embeddings"].to(position.dtype)
        return decode_masks(self.mask_decoder, embeddings, position, prompts, dense)
