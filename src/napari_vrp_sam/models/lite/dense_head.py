"""Dense head of a fine-tuned `lite`, with a copy of the backbone that is trained with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from napari_vrp_sam.models.heads.dense_head import (
    DenseHead,
    HeadSettings,
    head_state,
    read_settings,
)
from napari_vrp_sam.models.lite.backbone import FoldedBackbone
from napari_vrp_sam.models.lite.network import LiteNetwork, new_backbone
from napari_vrp_sam.models.lite.parts import BACKBONE_CHANNELS
from napari_vrp_sam.models.lite.zoom import enlarge
from napari_vrp_sam.models.padding import pad_frames
from napari_vrp_sam.models.weights.checkpoints import load_tensors

SOURCE = "The weights file of 'lite'"


class LiteHead(DenseHead):
    """Dense head with a backbone of its own.

    Parameters
    ----------
    settings : HeadSettings
    """

    def __init__(self, settings: HeadSettings) -> None:
        super().__init__(BACKBONE_CHANNELS, settings)
        self.backbone = new_backbone()
        self._folded = FoldedBackbone(self.backbone)
        self.eval()

    @classmethod
    def from_network(
        cls, network: LiteNetwork, class_ids: Sequence[int], *, zoom: int = 1
    ) -> LiteHead:
        """Create a head with a copy of the backbone of `lite`."""
        head = cls(HeadSettings(tuple(class_ids), zoom=zoom))
        head.backbone.load_state_dict(network.backbone.state_dict())
        return head.to(next(network.parameters()).device)

    def train(self, mode: bool = True) -> LiteHead:  # noqa: FBT001, FBT002 # torch's signature
        """Set the mode; the backbone's batch norm stays in evaluation mode."""
        super().train(mode)
        # A few frames are too few for batch statistics.
        self.backbone.eval()
        return self

    def forward(self, frames: Tensor) -> Tensor:
        """Return logits (B, K, h, w), at half the padded size, of frames (B, 3, H, W) in 0..1."""
        frames = pad_frames(frames)
        backbone = self.backbone if torch.is_grad_enabled() else self._folded
        return self.logits(backbone((frames - 0.5) / 0.5), frames)

    def segment(self, frames: Tensor) -> Tensor:
        """See the base class; the frames are enlarged as `zoom` says."""
        return super().segment(enlarge(pad_frames(frames), self.zoom))


def read_head(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> LiteHead:
    """Build a head from a weights file; raise `InputError` if metadata or tensors are damaged."""
    head = LiteHead(read_settings(metadata, source=SOURCE))
    load_tensors(head, head_state(tensors), source=SOURCE)
    return head.requires_grad_(requires_grad=False)
