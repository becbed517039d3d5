"""The dense head: what a fine-tuned `lite` knows of the user's own classes.

A copy of the backbone and a feature pyramid on it, trained on the annotated frames themselves, as
a U-Net would be, but from a backbone that has seen images before. `lite` itself stays as it is
beside it: what the head draws counts as far as it draws the present annotation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vrp_sam.models.lite.backbone import FoldedBackbone
from napari_vrp_sam.models.lite.network import LOGIT_LIMIT, PADDING, LiteNetwork, new_backbone
from napari_vrp_sam.models.lite.parts import BACKBONE_CHANNELS
from napari_vrp_sam.models.probe.classical_features import intensities, structures

DIM = 64
"""Channels of the pyramid."""

CLASSICAL_CHANNELS = 28

CLASSES_KEY, SHARE_KEY = "dense_classes", "dense_share"
"""In a weights file's metadata: the classes, and how much the head counts."""


class DenseHead(nn.Module):
    """Logits of some classes in every pixel.

    Parameters
    ----------
    class_ids : sequence of int
        The K classes that it knows, ascending.
    share : float
        Of its logits in the result where it draws the annotation, 0..1; the rest is `lite`'s.
    expected_iou : float, optional
        On what was held out when it was trained.
    """

    def __init__(
        self, class_ids: Sequence[int], share: float = 0.5, expected_iou: float | None = None
    ) -> None:
        super().__init__()
        self.class_ids = tuple(class_ids)
        self.share = share
        self.expected_iou = expected_iou
        self.backbone = new_backbone()
        self._folded = FoldedBackbone(self.backbone)
        self.lateral = nn.ModuleList(nn.Conv2d(c, DIM, kernel_size=1) for c in BACKBONE_CHANNELS)
        self.smooth = nn.ModuleList(_Smooth() for _ in BACKBONE_CHANNELS[:-1])
        self.classical = nn.Conv2d(CLASSICAL_CHANNELS, DIM, kernel_size=1)
        between = nn.Conv2d(DIM, DIM // 2, kernel_size=3, padding=1)
        last = nn.Conv2d(DIM // 2, len(self.class_ids), kernel_size=1)
        assert last.bias is not None
        nn.init.constant_(last.bias, -1.0)  # most of a frame is background
        self.output = nn.Sequential(nn.GroupNorm(8, DIM), between, nn.GELU(), last)
        self.eval()

    @classmethod
    def on(cls, network: LiteNetwork, class_ids: Sequence[int]) -> DenseHead:
        """A new head on a copy of the backbone of `lite`."""
        head = cls(class_ids)
        head.backbone.load_state_dict(network.backbone.state_dict())
        return head.to(next(network.parameters()).device)

    def train(self, mode: bool = True) -> DenseHead:  # noqa: FBT001, FBT002 # torch's signature
        """Switch mode; the backbone's batch norm keeps its statistics: few frames have none."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, frames: Tensor) -> Tensor:
        """Logits of shape (B, K, H / 2, W / 2) of the padded frames, shape (B, 3, H, W) in 0..1."""
        height, width = frames.shape[-2:]
        frames = F.pad(frames, (0, -width % PADDING, 0, -height % PADDING), mode="replicate")
        backbone = self.backbone if torch.is_grad_enabled() else self._folded
        maps = backbone((frames - 0.5) / 0.5)
        merged = self.lateral[-1](maps[-1])
        for level in reversed(range(len(maps) - 1)):
            size = maps[level].shape[-2:]
            merged = F.interpolate(merged, size, mode="bilinear", align_corners=False)
            merged = merged + self.lateral[level](maps[level])
            merged = merged + self.smooth[level](merged)
        classical = torch.cat([intensities(frames), structures(frames)], dim=1)
        logits: Tensor = self.output(merged + self.classical(classical))
        return logits


class _Smooth(nn.Sequential):
    """Depthwise-separable convolution."""

    def __init__(self) -> None:
        super().__init__(
            nn.GroupNorm(8, DIM),
            nn.Conv2d(DIM, DIM, kernel_size=3, padding=1, groups=DIM),
            nn.Conv2d(DIM, DIM, kernel_size=1),
            nn.GELU(),
        )


def full_size(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Logits of a padded frame, shape (B, K, h, w), at the size of the frame, clipped."""
    height, width = size
    padded = (height + -height % PADDING, width + -width % PADDING)
    full = F.interpolate(logits, padded, mode="bilinear", align_corners=False)
    return full[..., :height, :width].clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
