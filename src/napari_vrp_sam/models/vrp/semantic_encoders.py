"""Semantic encoders: frozen backbones whose features describe the kind of an object."""

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
"""Feature maps of stages 2, 3 and 4, each of shape (B, C_i, h_i, w_i)."""


class SemanticEncoder(nn.Module, ABC):
    """Base class of frozen backbones with three stages for the VRP encoder.

    Stages 2 and 3 feed the feature augmenter, stage 4 feeds the correlation pseudo-mask. Stage 4
    is a separate method because the stage-3 features of a reference are masked before it (paper,
    section 3.2). A new encoder has random weights; `load` reads them from a file.

    Attributes
    ----------
    channels : tuple of int
        Number of channels of stages 2, 3 and 4.
    mean, std : tuple of float
        Normalisation of frames with values in 0..1.
    """

    channels: ClassVar[tuple[int, int, int]]
    mean: ClassVar[tuple[float, float, float]] = IMAGENET_MEAN
    std: ClassVar[tuple[float, float, float]] = IMAGENET_STD

    backbone: Any  # a timm model, whose attributes have no types
    centre: Tensor
    spread: Tensor

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone
        # Buffers, because creating the tensors in each pass would synchronise with the GPU.
        for name, values in (("centre", self.mean), ("spread", self.std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        self.requires_grad_(requires_grad=False)
        self.train()

    def train(self, mode: bool = True) -> SemanticEncoder:  # noqa: ARG002, FBT001, FBT002
        """Stay in evaluation mode, which freezes the batch statistics too."""
        return super().train(mode=False)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Load pretrained weights without their classifier.

        Raises
        ------
        InputError
            If the file is missing or damaged, or holds another backbone.
        """
        tensors = self._convert(read_checkpoint(path).tensors)
        expected = self.backbone.state_dict()
        # Files older than PyTorch 0.4.1 lack this counter, which evaluation does not use.
        counters = {n: t for n, t in expected.items() if n.endswith("num_batches_tracked")}
        load_tensors(self.backbone, counters | tensors, source=os.fspath(path))

    def _convert(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert tensor names of a published file to those of the backbone."""
        return {n: t for n, t in tensors.items() if not n.startswith(("fc.", "classifier."))}

    @abstractmethod
    def _stages_2_and_3(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps of stages 2 and 3 for normalised frames."""

    @abstractmethod
    def stage_4(self, stage_3: Tensor) -> Tensor:
        """Return the map of stage 4 for a map of stage 3, which may be masked."""

    def shallow(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps of stages 2 and 3 for frames (B, 3, H, W), float32 in 0..1."""
        return self._stages_2_and_3((frames - self.centre) / self.spread)

    def forward(self, frames: Tensor) -> Stages:
        """Return the maps of all stages for frames (B, 3, H, W), float32 in 0..1."""
        stage_2, stage_3 = self.shallow(frames)
        return stage_2, stage_3, self.stage_4(stage_3)


class ResNet50(SemanticEncoder):
    """ResNet-50 with a deep stem (three 3x3 convolutions: 64, 64, 128), dilated to stride 8.

    This variant of the original VRP-SAM code gives other results than the standard ResNet-50.
    """

    channels = (512, 1024, 2048)

    def __init__(self) -> None:
        super().__init__(timm.create_model("resnet50s", num_classes=0, output_stride=8))
        # timm dilates a stage from its second block on, the original code from its first.
        for stage, dilation in ((self.backbone.layer3, 2), (self.backbone.layer4, 4)):
            for block in stage:
                block.conv2.dilation = block.conv2.padding = (dilation, dilation)

    def _convert(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        # The original code loads PSPNet's ResNet, which has other names.
        tensors = super()._convert(tensors)
        if "conv3.weight" not in tensors:
            return tensors
        stem = {"conv1": "conv1.0", "bn1": "conv1.1", "conv2": "conv1.3", "bn2": "conv1.4"}
        stem |= {"conv3": "conv1.6", "bn3": "bn1"}
        return {
            f"{stem.get(first, first)}.{rest}": tensor
            for (first, _, rest), tensor in ((n.partition("."), t) for n, t in tensors.items())
        }

    def _stages_2_and_3(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        net = self.backbone
        stem = net.maxpool(net.act1(net.bn1(net.conv1(frames))))
        stage_2 = net.layer2(net.layer1(stem))
        return stage_2, net.layer3(stage_2)

    def stage_4(self, stage_3: Tensor) -> Tensor:
        """See the base class."""
        stage: Tensor = self.backbone.layer4(stage_3)
        return stage


class VGG16(SemanticEncoder):
    """VGG-16 with batch norm; stages 2 and 3 include their pooling."""

    channels = (256, 512, 512)

    def __init__(self) -> None:
        vgg: Any = timm.create_model("vgg16_bn", num_classes=0)
        super().__init__(vgg.features[:43])

    def _convert(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            n.removeprefix("features."): t for n, t in tensors.items() if n.startswith("features.")
        }

    def _stages_2_and_3(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        stage_2 = self.backbone[:24](frames)
        return stage_2, self.backbone[24:34](stage_2)

    def stage_4(self, stage_3: Tensor) -> Tensor:
        """See the base class."""
        stage: Tensor = self.backbone[34:](stage_3)
        return stage


class DINOv2(SemanticEncoder):
    """DINOv2 ViT-B/14 with the tokens after blocks 6, 9 and 12 as stages 2, 3 and 4.

    Frames are resized to the next multiple of 14 pixels, so that the grid covers the frame. Stage
    4 uses patch tokens only, because a masked map has no class token.
    """

    channels = (768, 768, 768)
    patch = 14

    def __init__(self) -> None:
        super().__init__(
            timm.create_model("vit_base_patch14_dinov2", num_classes=0, dynamic_img_size=True)
        )

    def _convert(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {n: t for n, t in super()._convert(tensors).items() if n != "mask_token"}

    def _stages_2_and_3(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        size = tuple(-(-side // self.patch) * self.patch for side in frames.shape[-2:])
        if size != frames.shape[-2:]:
            frames = F.interpolate(frames, size, mode="bilinear", align_corners=False)
        stage_2, stage_3 = self.backbone.forward_intermediates(
            frames, indices=[5, 8], intermediates_only=True, stop_early=True
        )
        return stage_2, stage_3

    def stage_4(self, stage_3: Tensor) -> Tensor:
        """See the base class."""
        tokens = stage_3.flatten(2).transpose(1, 2)
        for block in self.backbone.blocks[9:]:
            tokens = block(tokens)
        tokens = self.backbone.norm(tokens)
        stage: Tensor = tokens.transpose(1, 2).reshape(stage_3.shape)
        return stage


class EfficientNetLite0(SemanticEncoder):
    """EfficientNet-Lite0, which has no squeeze-and-excitation and is fast on a CPU."""

    channels = (40, 112, 320)
    mean = std = (0.5, 0.5, 0.5)

    def __init__(self) -> None:
        backbone: Any = timm.create_model("tf_efficientnet_lite0", num_classes=0)
        backbone.conv_head = backbone.bn2 = nn.Identity()
        super().__init__(backbone)

    def _convert(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        tensors = super()._convert(tensors)
        return {n: t for n, t in tensors.items() if not n.startswith(("conv_head.", "bn2."))}

    def _stages_2_and_3(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        net = self.backbone
        stage_2 = net.blocks[:3](net.bn1(net.conv_stem(frames)))
        return stage_2, net.blocks[3:5](stage_2)

    def stage_4(self, stage_3: Tensor) -> Tensor:
        """See the base class."""
        stage: Tensor = self.backbone.blocks[5:](stage_3)
        return stage


class LiteBackbone(EfficientNetLite0):
    """Backbone of `lite`, whose weights are part of the package."""


SEMANTIC_ENCODERS: dict[str, Callable[[], SemanticEncoder]] = {
    "resnet50": ResNet50,
    "vgg16": VGG16,
    "dinov2_b14": DINOv2,
    "efficientnet_lite0": EfficientNetLite0,
    "lite": LiteBackbone,
}


def build_semantic_encoder(
    name: str, weights: str | os.PathLike[str] | None = None
) -> SemanticEncoder:
    """Build a semantic encoder by name, with random weights or the weights of a file.

    Raises
    ------
    InputError
        If the name is unknown or the file does not hold weights of this encoder.
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
    """Concatenate stages 2 and 3 on the coarser grid, as input of the VRP encoder."""
    grid = stage_3.shape[-2:]
    if stage_2.shape[-2:] != grid:
        stage_2 = F.interpolate(stage_2, grid, mode="bilinear", align_corners=True)
    return torch.cat([stage_2, stage_3], dim=1)
