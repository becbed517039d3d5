"""Dense head: the part of a fine-tuned `lite` that is specific to the user's classes.

A copy of the backbone with a feature pyramid, trained on the annotated frames as a U-Net would be,
but from a pretrained backbone. `lite` itself is not changed: it segments beside the head, and the
share of the head depends on how well it reproduces the present annotation (see `head_share`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.lite.backbone import FoldedBackbone
from napari_vrp_sam.models.lite.network import LiteNetwork, new_backbone
from napari_vrp_sam.models.lite.parts import BACKBONE_CHANNELS
from napari_vrp_sam.models.padding import pad_frames
from napari_vrp_sam.models.probe.classical_features import intensities, structures
from napari_vrp_sam.models.weights.catalogue import DENSE_HEAD_PREFIX
from napari_vrp_sam.models.weights.checkpoints import load_tensors

DIM = 64
"""Channels of the pyramid."""

CLASSICAL_CHANNELS = 28

CLASSES_KEY, SHARE_KEY = "dense_classes", "dense_share"
"""Metadata of the weights file: classes and share of the head."""


class DenseHead(nn.Module):
    """Network that segments a fixed set of classes.

    Parameters
    ----------
    class_ids : sequence of int
        The K classes of the head, ascending.
    share : float
        Largest share of the head's logits in the result, 0..1; the rest is from `lite`.
    expected_iou : float, optional
        IoU on the frames held out during training.
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
        self.smooth = nn.ModuleList(_separable_convolution() for _ in BACKBONE_CHANNELS[:-1])
        self.classical = nn.Conv2d(CLASSICAL_CHANNELS, DIM, kernel_size=1)
        between = nn.Conv2d(DIM, DIM // 2, kernel_size=3, padding=1)
        last = nn.Conv2d(DIM // 2, len(self.class_ids), kernel_size=1)
        assert last.bias is not None
        nn.init.constant_(last.bias, -1.0)  # most of a frame is background
        self.output = nn.Sequential(nn.GroupNorm(8, DIM), between, nn.GELU(), last)
        self.eval()

    @classmethod
    def from_network(cls, network: LiteNetwork, class_ids: Sequence[int]) -> DenseHead:
        """Create a head with a copy of the backbone of `lite`."""
        head = cls(class_ids)
        head.backbone.load_state_dict(network.backbone.state_dict())
        return head.to(next(network.parameters()).device)

    def train(self, mode: bool = True) -> DenseHead:  # noqa: FBT001, FBT002 # torch's signature
        """Set the mode; the backbone's batch norm stays in evaluation mode."""
        super().train(mode)
        # A few frames are too few for batch statistics.
        self.backbone.eval()
        return self

    def forward(self, frames: Tensor) -> Tensor:
        """Return logits (B, K, h, w), at half the padded size, of frames (B, 3, H, W) in 0..1."""
        frames = pad_frames(frames)
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


def _separable_convolution() -> nn.Sequential:
    return nn.Sequential(
        nn.GroupNorm(8, DIM),
        nn.Conv2d(DIM, DIM, kernel_size=3, padding=1, groups=DIM),
        nn.Conv2d(DIM, DIM, kernel_size=1),
        nn.GELU(),
    )


def head_tensors(head: DenseHead) -> dict[str, Tensor]:
    """Return the weights in half precision, under their names in a weights file of `lite`."""
    return {
        DENSE_HEAD_PREFIX + name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in head.state_dict().items()
    }


def head_metadata(head: DenseHead) -> dict[str, str]:
    """Return the metadata that `read_head` needs."""
    return {CLASSES_KEY: ",".join(map(str, head.class_ids)), SHARE_KEY: str(head.share)}


def read_head(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> DenseHead:
    """Build a head from a weights file; raise `InputError` if metadata or tensors are damaged."""
    try:
        class_ids = [int(class_id) for class_id in metadata[CLASSES_KEY].split(",")]
        expected_iou = json.loads(metadata.get("metrics", "{}")).get("held_out_iou_after")
        head = DenseHead(class_ids, float(metadata[SHARE_KEY]), expected_iou)
    except (KeyError, ValueError) as error:
        raise InputError(f"The weights file of 'lite' is damaged ({error}): replace it.") from error
    state = {name.removeprefix(DENSE_HEAD_PREFIX): tensor for name, tensor in tensors.items()}
    load_tensors(head, state, source="The weights file of 'lite'")
    return head.requires_grad_(requires_grad=False)
