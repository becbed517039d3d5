"""Configuration, neck and mask decoder of `lite`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch.nn.functional as F
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

from napari_vrp_sam.models.probe.ensemble import ProbeRecipe
from napari_vrp_sam.models.sam.mask_decoder import attend, read_masks

BACKBONE_CHANNELS = (16, 24, 40, 112, 320)
"""Channels of EfficientNet-Lite0 at strides 2, 4, 8, 16 and 32."""

SIMILARITY_LEVELS = (2, 3, 4)
"""Maps on which references and targets are compared: strides 8, 16 and 32."""

INTENSITIES = 5
"""Index of the map of intensities among the semantic maps."""

PROBE_RECIPE = ProbeRecipe(
    linear=(0, 1, 2, 3, 5),
    perceptron=(0, 1, 2, 3, 5, 6),
    view_perceptron=(0, 1, 2, 3, 4, 5),
    trees=(5, 6),
    plain_trees=(5, 6),
)
"""Maps that the probes read: 0 to 4 are the backbone's, 5 intensities, 6 edges and ridges."""


LOGIT_LIMIT = 8.0
"""Bound of the logits of the pseudo-mask."""


@dataclass(frozen=True)
class LiteConfig:
    """Sizes of the network, stored in the metadata of its weights file.

    They are the width of embedding and prompts, the number of prompts of each reference, the number
    of attention heads, and the depth and MLP width of the mask decoder's transformer.
    """

    dim: int = 128
    queries: int = 32
    heads: int = 4
    decoder_depth: int = 2
    decoder_mlp: int = 512

    def as_metadata(self) -> dict[str, str]:
        """Return the sizes as strings, for the header of a safetensors file."""
        return {key: str(value) for key, value in asdict(self).items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> LiteConfig:
        """Read the entries of `as_metadata`; others are ignored, missing ones have defaults."""
        return cls(**{key: int(metadata[key]) for key in asdict(cls()) if key in metadata})


class Neck(nn.Module):
    """Feature pyramid that merges strides 8, 16 and 32 into an image embedding at stride 8."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Conv2d(BACKBONE_CHANNELS[level], dim, kernel_size=1) for level in SIMILARITY_LEVELS
        )
        self.smooth = nn.Sequential(
            LayerNorm2d(dim), nn.Conv2d(dim, dim, kernel_size=3, padding=1), LayerNorm2d(dim)
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the embedding (B, dim, H / 8, W / 8) of the maps of the backbone."""
        fine, *coarser = [
            lateral(maps[level])
            for lateral, level in zip(self.lateral, SIMILARITY_LEVELS, strict=True)
        ]
        for features in coarser:
            fine = fine + F.interpolate(
                features, fine.shape[-2:], mode="bilinear", align_corners=False
            )
        embedding: Tensor = self.smooth(fine)
        return embedding


class SkipMaskDecoder(MaskDecoder):  # type: ignore[misc]  # segment-anything has no types
    """SAM's mask decoder, with fine backbone maps added during upscaling as in SAM 2."""

    def __init__(self, config: LiteConfig) -> None:
        dim = config.dim
        super().__init__(
            transformer_dim=dim,
            transformer=TwoWayTransformer(
                depth=config.decoder_depth,
                embedding_dim=dim,
                num_heads=config.heads,
                mlp_dim=config.decoder_mlp,
            ),
            num_multimask_outputs=0,
            iou_head_hidden_dim=dim,
        )
        self.skip4 = nn.Conv2d(BACKBONE_CHANNELS[1] + 1, dim // 4, kernel_size=1)
        self.skip2 = nn.Conv2d(BACKBONE_CHANNELS[0] + 1, dim // 8, kernel_size=1)

    def forward_with_skips(
        self,
        embedding: Tensor,
        position: Tensor,
        sparse: Tensor,
        dense: Tensor,
        fine: Sequence[Tensor],
        pseudo_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Decode a batch of frames, each with its own prompts; see `decode_masks`.

        `fine` are maps of shapes (B, 16, 4 h, 4 w) and (B, 24, 2 h, 2 w), `pseudo_mask` are logits
        (B, 1, 4 h, 4 w) scaled to -1..1. Return logits of that shape, and predicted IoUs (B, 1).
        """
        tokens, pixels = attend(self, embedding, position, sparse, dense)
        masks = self.upscale_and_read(tokens, pixels, fine, pseudo_mask)
        return masks, self.iou_prediction_head(tokens[:, 0])

    def upscale_and_read(
        self, tokens: Tensor, pixels: Tensor, fine: Sequence[Tensor], pseudo_mask: Tensor
    ) -> Tensor:
        """Return the masks for tokens (B, T, D) and pixels (B, D, h, w) after the transformer."""
        up4, norm, act, up2, act2 = self.output_upscaling
        skip4 = _convolve_joined(self.skip4, fine[1], F.avg_pool2d(pseudo_mask, 2))
        pixels = act(norm(up4(pixels) + skip4))
        pixels = act2(up2(pixels) + _convolve_joined(self.skip2, fine[0], pseudo_mask))
        return read_masks(self, tokens, pixels)


def _convolve_joined(convolution: nn.Conv2d, features: Tensor, mask: Tensor) -> Tensor:
    """Apply a 1 x 1 convolution to features and mask, without the copy that joins them."""
    weight = convolution.weight
    return F.conv2d(features, weight[:, :-1], convolution.bias) + weight[None, :, -1] * mask
