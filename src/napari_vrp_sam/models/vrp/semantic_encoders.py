"""Semantic encoders: frozen backbones that say what things are, not where their borders lie."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.checkpoints import load_tensors, read_checkpoint

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Stages = tuple[Tensor, Tensor, Tensor]
"""Maps of stages 2, 3 and 4, each of shape (B, C_i, h_i, w_i)."""


class SemanticEncoder(nn.Module, ABC):
    """A frozen backbone with three stages that the VRP encoder reads.

    Stages 2 and 3 feed the feature augmenter; stage 4 feeds the correlation pseudo-mask, and runs
    on given stage-3 features too, because the reference's are masked before it (paper, section
    3.2). Built without weights; `load` reads them from a file.

    Attributes
    ----------
    channels : tuple of int
        Of stages 2, 3 and 4.
    mean, std : tuple of float
        Normalisation of frames in 0..1.
    """

    channels: ClassVar[tuple[int, int, int]]
    mean: ClassVar[tuple[float, float, float]] = IMAGENET_MEAN
    std: ClassVar[tuple[float, float, float]] = IMAGENET_STD

    # Of timm, whose modules have attributes that no type tells.
    backbone: Any
    centre: Tensor
    spread: Tensor

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone
        # Beside the weights: made anew in each pass, they would keep the host waiting for a GPU.
        for name, values in (("centre", self.mean), ("spread", self.std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        self.requires_grad_(requires_grad=False)
        self.train()

    def train(self, mode: bool = True) -> SemanticEncoder:  # noqa: ARG002, FBT001, FBT002
        """Stay in evaluation mode: a frozen encoder's batch statistics are frozen too."""
        return super().train(mode=False)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Read pretrained weights; a classifier on top of them is left out.

        Raises
        ------
        InputError
            If the file is missing, damaged or holds another backbone.
        """
        tensors = self.convert(read_checkpoint(path).tensors)
        wanted = self.backbone.state_dict()
        # Files older than PyTorch 0.4.1 lack this counter, which evaluation never reads.
        counters = {n: t for n, t in wanted.items() if n.endswith("num_batches_tracked")}
        load_tensors(self.backbone, counters | tensors, source=os.fspath(path))

    def convert(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Names of a published file to those of the backbone, without its classifier."""
        return {n: t for n, t in tensors.items() if not n.startswith(("fc.", "classifier."))}

    @abstractmethod
    def stages_2_and_3(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of normalised frames."""

    @abstractmethod
    def stage_4(self, stage_3: Tensor) -> Tensor:
        """Map of stage 4 from that of stage 3, which may be masked."""

    def shallow(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of stages 2 and 3 of frames of shape (B, 3, H, W), float32 in 0..1."""
        return self.stages_2_and_3((frames - self.centre) / self.spread)

    def forward(self, frames: Tensor) -> Stages:
        """Maps of all stages of frames of shape (B, 3, H, W), float32 in 0..1."""
        stage_2, stage_3 = self.shallow(frames)
        return stage_2, stage_3, self.stage_4(stage_3)


class ResNet50(SemanticEncoder):
    """ResNet-50 with a deep stem (three 3x3 convolutions: 64, 64, 128), dilated to stride 8.

    The variant of the paper's code, not the plain ResNet-50: results differ.
    """

    channels = (512, 1024, 2048)

    def __init__(self) -> None:
        super().__init__(timm.create_model("resnet50s", num_classes=0, output_stride=8))
        # timm dilates a stage from its second block on, the paper's code from its first.
        for stage, dilation in ((self.backbone.layer3, 2), (self.backbone.layer4, 4)):
            for block in stage:
                block.conv2.dilation = block.conv2.padding = (dilation, dilation)

    def convert(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Accept the names of PSPNet's published ResNet too, which the paper's code loads."""
        tensors = super().convert(tensors)
        if "conv3.weight" not in tensors:
            return tensors
        stem = {"conv1": "conv1.0", "bn1": "conv1.1", "conv2": "conv1.3", "bn2": "conv1.4"}
        stem |= {"conv3": "conv1.6", "bn3": "bn1"}
        return {
            f"{stem.get(first, first)}.{rest}": tensor
            for (first, _, rest), tensor in ((n.partition("."), t) for n, t in tensors.items())
        }

    def stages_2_and_3(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of 512 and 1024 channels, stride 8."""
        net = self.backbone
        stem = net.maxpool(net.act1(net.bn1(net.conv1(frames))))
        stage_2 = net.layer2(net.layer1(stem))
        return stage_2, net.layer3(stage_2)

    def stage_4(self, stage_3: Tensor) -> Tensor:
        """Map of 2048 channels, stride 8."""
        stage: Tensor = self.backbone.layer4(stage_3)
        return stage


class VGG16(SemanticEncoder):
    """VGG-16 with batch norm; a stage ends with its pooling, the last one is not pooled."""

    channels = (256, 512, 512)

    def __init__(self) -> None:
        whole: Any = timm.create_model("vgg16_bn", num_classes=0)
        super().__init__(whole.features[:43])

    def convert(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Keep the convolutions, `features.N`."""
        return {
            n.removeprefix("features."): t for n, t in tensors.items() if n.startswith("features.")
        }

    def stages_2_and_3(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of 256 channels, stride 8, and 512 channels, stride 16."""
        stage_2 = self.backbone[:24](frames)
        return stage_2, self.backbone[24:34](stage_2)

    def stage_4(self, stage_3: Tensor) -> Tensor:
        """Map of 512 channels, stride 16."""
        stage: Tensor = self.backbone[34:](stage_3)
        return stage


class DINOv2(SemanticEncoder):
    """DINOv2 ViT-B/14. Stages 2, 3 and 4 are the tokens after blocks 6, 9 and 12.

    Frames are resized to the next multiple of 14 pixels, so that the grid spans the frame.
    Stage 4 sees patch tokens only, in reference and target alike: a masked map has no class token.
    """

    channels = (768, 768, 768)
    patch = 14

    def __init__(self) -> None:
        super().__init__(
            timm.create_model("vit_base_patch14_dinov2", num_classes=0, dynamic_img_size=True)
        )

    def convert(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Drop the mask token of the self-supervised training."""
        return {n: t for n, t in super().convert(tensors).items() if n != "mask_token"}

    def stages_2_and_3(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of 768 channels, stride 14."""
        size = tuple(-(-side // self.patch) * self.patch for side in frames.shape[-2:])
        if size != frames.shape[-2:]:
            frames = F.interpolate(frames, size, mode="bilinear", align_corners=False)
        stage_2, stage_3 = self.backbone.forward_intermediates(
            frames, indices=[5, 8], intermediates_only=True, stop_early=True
        )
        return stage_2, stage_3

    def stage_4(self, stage_3: Tensor) -> Tensor:
        """Map of 768 channels, stride 14."""
        tokens = stage_3.flatten(2).transpose(1, 2)
        for block in self.backbone.blocks[9:]:
            tokens = block(tokens)
        tokens = self.backbone.norm(tokens)
        stage: Tensor = tokens.transpose(1, 2).reshape(stage_3.shape)
        return stage


class EfficientNetLite0(SemanticEncoder):
    """EfficientNet-Lite0: no squeeze-and-excitation, quick on a processor."""

    channels = (40, 112, 320)
    mean = std = (0.5, 0.5, 0.5)

    def __init__(self) -> None:
        backbone: Any = timm.create_model("tf_efficientnet_lite0", num_classes=0)
        backbone.conv_head = backbone.bn2 = nn.Identity()
        super().__init__(backbone)

    def convert(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Drop the head after the last stage."""
        kept = super().convert(tensors)
        return {n: t for n, t in kept.items() if not n.startswith(("conv_head.", "bn2."))}

    def stages_2_and_3(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of 40 channels, stride 8, and 112 channels, stride 16."""
        net = self.backbone
        stage_2 = net.blocks[:3](net.bn1(net.conv_stem(frames)))
        return stage_2, net.blocks[3:5](stage_2)

    def stage_4(self, stage_3: Tensor) -> Tensor:
        """Map of 320 channels, stride 32."""
        stage: Tensor = self.backbone.blocks[5:](stage_3)
        return stage


SEMANTIC_ENCODERS: dict[str, Callable[[], SemanticEncoder]] = {
    "resnet50": ResNet50,
    "vgg16": VGG16,
    "dinov2_b14": DINOv2,
    "efficientnet_lite0": EfficientNetLite0,
}


def build_semantic_encoder(
    name: str, weights: str | os.PathLike[str] | None = None
) -> SemanticEncoder:
    """Build a semantic encoder by name, with random weights or those of a file.

    Raises
    ------
    InputError
        If there is no such encoder, or the file does not hold its weights.
    """
    if name not in SEMANTIC_ENCODERS:
        raise InputError(
            f"There is no semantic encoder '{name}': choose one of {', '.join(SEMANTIC_ENCODERS)}."
        )
    encoder = SEMANTIC_ENCODERS[name]()
    if weights is not None:
        encoder.load(weights)
    return encoder


def concatenate_stages(stage_2: Tensor, stage_3: Tensor) -> Tensor:
    """Features for the VRP encoder: stages 2 and 3 along channels, on the coarser grid."""
    grid = stage_3.shape[-2:]
    if stage_2.shape[-2:] != grid:
        stage_2 = F.interpolate(stage_2, grid, mode="bilinear", align_corners=True)
    return torch.cat([stage_2, stage_3], dim=1)
