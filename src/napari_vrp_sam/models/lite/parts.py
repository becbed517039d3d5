"""Parts of `lite`: sizes, neck and mask decoder."""

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
"""Maps that references and targets are compared on: strides 8, 16 and 32."""

PROBE_RECIPE = ProbeRecipe(
    linear=(0, 1, 2, 3, 5), plain=(0, 1, 2, 3, 5, 6), varied=(0, 1, 2, 3, 4, 5), trees=(5, 6)
)
"""What probes read: 0 to 4 are the backbone's maps, 5 the intensities, 6 edges and ridges."""

VIEWS = 5
"""Other views of the annotated frames that the ensemble is fitted on, at least one of each."""


@dataclass(frozen=True)
class LiteConfig:
    """Sizes of the network; kept in the metadata of its weights file."""

    dim: int = 128
    queries: int = 32
    heads: int = 4
    decoder_depth: int = 2
    decoder_mlp: int = 512

    def as_metadata(self) -> dict[str, str]:
        """The sizes as the strings that a safetensors header holds."""
        return {key: str(value) for key, value in asdict(self).items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> LiteConfig:
        """Read back what `as_metadata` wrote; other keys are left alone."""
        return cls(**{key: int(metadata[key]) for key in asdict(cls()) if key in metadata})


class Neck(nn.Module):
    """Feature pyramid: strides 8, 16 and 32 merged into SAM's image embedding at stride 8."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Conv2d(BACKBONE_CHANNELS[level], dim, kernel_size=1) for level in SIMILARITY_LEVELS
        )
        self.smooth = nn.Sequential(
            LayerNorm2d(dim), nn.Conv2d(dim, dim, kernel_size=3, padding=1), LayerNorm2d(dim)
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Five backbone maps -> image embedding (B, dim, H / 8, W / 8)."""
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
    """SAM's mask decoder with fine backbone maps added while it scales up (as in SAM 2)."""

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
        """Decode a batch in which every sample has its own prompts.

        Parameters
        ----------
        embedding, dense : Tensor, shape (B, D, h, w)
        position : Tensor, shape (1, D, h, w)
        sparse : Tensor, shape (B, N, D)
        fine : two Tensors, shapes (B, 16, 4 h, 4 w) and (B, 24, 2 h, 2 w)
        pseudo_mask : Tensor, shape (B, 1, 4 h, 4 w)
            Logits, scaled to about -1..1.

        Returns
        -------
        masks : Tensor, shape (B, 1, 4 h, 4 w)
            Logits.
        quality : Tensor, shape (B, 1)
            Predicted IoU.
        """
        tokens, pixels = attend(self, embedding, position, sparse, dense)
        return self.read(tokens, pixels, fine, pseudo_mask), self.iou_prediction_head(tokens[:, 0])

    def read(
        self, tokens: Tensor, pixels: Tensor, fine: Sequence[Tensor], pseudo_mask: Tensor
    ) -> Tensor:
        """Masks from what the transformer made of tokens (B, T, D) and image (B, D, h, w)."""
        up4, norm, act, up2, act2 = self.output_upscaling
        skip4 = _joined(self.skip4, fine[1], F.avg_pool2d(pseudo_mask, 2))
        pixels = act(norm(up4(pixels) + skip4))
        pixels = act2(up2(pixels) + _joined(self.skip2, fine[0], pseudo_mask))
        return read_masks(self, tokens, pixels)


def _joined(convolution: nn.Conv2d, features: Tensor, mask: Tensor) -> Tensor:
    """A 1 x 1 convolution of features and a mask as one more channel, without joining them."""
    weight = convolution.weight
    return F.conv2d(features, weight[:, :-1], convolution.bias) + weight[None, :, -1] * mask
