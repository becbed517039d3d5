"""Network of `lite`: the structure of VRP-SAM with one small backbone for both encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch
import torch.nn.functional as F
from segment_anything.modeling import PromptEncoder
from torch import Tensor, nn

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.lite.backbone import FoldedBackbone
from napari_vrp_sam.models.lite.parts import (
    BACKBONE_CHANNELS,
    LOGIT_LIMIT,
    PROBE_RECIPE,
    SIMILARITY_LEVELS,
    LiteConfig,
    Neck,
    SkipMaskDecoder,
)
from napari_vrp_sam.models.padding import pad_frames
from napari_vrp_sam.models.probe.classical_features import intensities, structures
from napari_vrp_sam.models.probe.encoded_shots import Shot, assign_folds, shots_with_class
from napari_vrp_sam.models.probe.ensemble import EnsembleProbe, fit_ensemble, fit_linear_probe
from napari_vrp_sam.models.probe.pseudo_labels import complete_shots
from napari_vrp_sam.models.probe.reference_bank import ReferenceBank, build_bank
from napari_vrp_sam.models.probe.views import VIEW_COUNT, augmented_views
from napari_vrp_sam.models.vrp.vrp_encoder import ReferenceEncoding, VRPEncoder

STRIDE = 8
"""Pixels per cell of the image embedding."""

DEEPEST_STAGES = slice(5, 7)
"""Stages of the backbone between its maps at stride 16 and at stride 32."""


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Everything that is computed from the references of B classes, for any number of targets.

    These are the references with completed labels, their augmented views, the probe, the memory
    bank, and the VRP encodings of the references that show the class.
    """

    shots: tuple[Shot, ...]
    views: tuple[Shot, ...]
    probe: EnsembleProbe
    bank: ReferenceBank
    encodings: tuple[ReferenceEncoding, ...]


def new_backbone() -> Any:
    """Create EfficientNet-Lite0 without weights, with feature maps at strides 2 to 32."""
    return timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True)


class LiteNetwork(nn.Module):
    """All learned parts of `lite`, batched over B frames, each with its own class."""

    def __init__(self, config: LiteConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or LiteConfig()
        dim = config.dim
        self.backbone = new_backbone()
        self._folded = FoldedBackbone(self.backbone)
        self.neck = Neck(dim)
        self.backbone.requires_grad_(requires_grad=False)
        # The sizes given here are replaced at every call, because frames have any size.
        self.prompt_encoder = PromptEncoder(dim, (32, 32), (256, 256), mask_in_chans=16)
        channels = BACKBONE_CHANNELS[2] + BACKBONE_CHANNELS[3]
        self.vrp_encoder = VRPEncoder(channels, dim, queries=config.queries, heads=config.heads)
        self.similarity = nn.Sequential(
            nn.Conv2d(2 * len(SIMILARITY_LEVELS) + 1, dim // 2, kernel_size=3, padding=1),
            nn.GELU(),
            nn.Conv2d(dim // 2, dim, kernel_size=1),
        )
        self.decoder = SkipMaskDecoder(config)
        self.residual_gain = nn.Parameter(torch.tensor(1.0))
        self.train()  # sets the backbone's batch norm to evaluation mode

    def train(self, mode: bool = True) -> LiteNetwork:  # noqa: FBT001, FBT002 # torch's signature
        """Set the mode; the backbone's batch norm stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def encode(self, frames: Tensor) -> FrameFeatures:
        """Encode frames of shape (B, 3, H, W) in 0..1.

        The semantic maps are the five of the backbone, then `intensities` and `structures`. All
        cover the padded frames.
        """
        padded = pad_frames(frames)
        backbone = self.backbone if torch.is_grad_enabled() else self._folded
        maps = backbone((padded - 0.5) / 0.5)
        # Second derivatives are small differences of large numbers: never in half precision.
        with torch.autocast(frames.device.type, enabled=False):
            classical = intensities(padded), structures(padded)
        size = (frames.shape[-2], frames.shape[-1])
        return FrameFeatures(size, self.neck(maps), (*maps, *classical))

    def geometric_prompt(
        self, features: FrameFeatures, points: Tensor, labels: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the sparse and dense prompts of points and boxes on B objects, as SAM does.

        Parameters
        ----------
        features : FrameFeatures
        points : Tensor, shape (B, N, 2)
            Coordinates (x, y) in pixels.
        labels : Tensor, shape (B, N)
            1 on the object, 0 on the background, -1 for padding.
        boxes : Tensor, shape (B, 4), optional
            (x0, y0, x1, y1) in pixels.
        """
        height, width = features.embedding.shape[-2:]
        encoder = self.prompt_encoder
        encoder.image_embedding_size = (height, width)
        encoder.input_image_size = (height * STRIDE, width * STRIDE)
        sparse, dense = encoder(points=(points, labels), boxes=boxes, masks=None)
        return sparse, dense

    def semantic_features(self, features: FrameFeatures) -> Tensor:
        """Concatenate strides 8 and 16, which are stages 2 and 3 of the paper (section 4.1)."""
        fine, coarse = features.semantic[2], features.semantic[3]
        coarse = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat([fine, coarse], dim=1)

    def deepest_stage(self, stage_3: Tensor) -> Tensor:
        """Run the stages after stride 16 on given features (B, 112, h, w)."""
        for stage in self.backbone.blocks[DEEPEST_STAGES]:
            stage_3 = stage(stage_3)
        return stage_3

    def condition(
        self, shots: Sequence[Shot], views: Sequence[Shot] | None = None, *, effort: float = 1.0
    ) -> Conditioning:
        """Compute everything that depends on the references only.

        In training mode the probe is linear and a differentiable function of the features, so that
        the backbone can learn from it; an ensemble would take longer than the training step.

        By default, new augmented views are sampled, fewer with less effort. For `effort` see
        `fit_ensemble`.
        """
        with torch.no_grad():
            completed = complete_shots(shots, PROBE_RECIPE)
            bank = build_bank(completed, SIMILARITY_LEVELS)
        if self.training:
            probe = fit_linear_probe(completed, PROBE_RECIPE)
        else:
            with torch.no_grad():
                if views is None:
                    completed = assign_folds(completed)
                    count = max(1, round(effort * VIEW_COUNT))
                    views = augmented_views(completed, self.encode, count)
                probe = fit_ensemble(completed, PROBE_RECIPE, views, effort=effort)
        encodings = self.encode_references(shots)
        return Conditioning(tuple(completed), tuple(views or ()), probe, bank, encodings)

    def encode_references(self, shots: Sequence[Shot]) -> tuple[ReferenceEncoding, ...]:
        """Return the VRP encodings of the references that show the class (paper, eq. 1, 2, 4)."""
        return tuple(
            self.vrp_encoder.encode_reference(
                self.semantic_features(shot.features), shot.mask[:, None]
            )
            for shot in (shots_with_class(shots) or shots)
        )

    def prompt(
        self,
        features: FrameFeatures,
        conditioning: Conditioning,
        pseudo_mask: Tensor | None = None,
        plain_weight: float | Tensor = 1.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the prompts for targets (paper, equations 3 and 5).

        Parameters
        ----------
        features : FrameFeatures
            Features of B frames, or of one frame that B classes share.
        conditioning : Conditioning
        pseudo_mask : Tensor, shape (B, 1, 4 h, 4 w), optional
            Logits of the pseudo-mask. Default: those of the probe.
        plain_weight : float or Tensor, default 1
            Weight of the probe's plain trees on these targets, 0..1; see `EnsembleProbe`.

        Returns
        -------
        sparse : Tensor, shape (B, shots * queries, D)
        dense : Tensor, shape (B, D, h, w)
        pseudo_mask : Tensor, shape (B, 1, 4 h, 4 w)
            Clipped logits.
        """
        height, width = features.embedding.shape[-2:]
        with torch.no_grad():
            if pseudo_mask is None:
                size = (4 * height, 4 * width)
                pseudo_mask = conditioning.probe.logits(features.semantic, size, plain_weight)
            pseudo_mask = pseudo_mask.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
            probability = F.avg_pool2d(pseudo_mask.sigmoid(), 4)
            similarity = conditioning.bank.similarity(
                [features.semantic[level] for level in SIMILARITY_LEVELS], (height, width)
            )
        semantic = self.semantic_features(features)
        sparse = torch.cat(
            [self.vrp_encoder.prompts(e, semantic, probability) for e in conditioning.encodings],
            dim=1,
        )
        mask_prompt: Tensor = self.prompt_encoder.mask_downscaling(pseudo_mask / LOGIT_LIMIT)
        dense = mask_prompt + self.similarity(torch.cat([similarity, probability], dim=1))
        return sparse, dense, pseudo_mask

    def decode(
        self, features: FrameFeatures, sparse: Tensor, dense: Tensor, pseudo_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Decode the masks of B prompts.

        Prompts are those of `prompt`. The decoder adds a correction to the logits of the
        pseudo-mask. The features are those of B frames, or of one frame that all prompts share.

        Returns
        -------
        logits : Tensor, shape (B, 1, 4 h, 4 w)
            Logits at half the size of the padded frames.
        predicted_iou : Tensor, shape (B, 1)
        """
        batch = len(sparse)
        height, width = features.embedding.shape[-2:]
        # The sine of a large phase is wrong in half precision.
        with torch.autocast(features.embedding.device.type, enabled=False):
            position = self.prompt_encoder.pe_layer((height, width))[None]
        masks, predicted_iou = self.decoder.forward_with_skips(
            features.embedding.expand(batch, -1, -1, -1),
            position,
            sparse,
            dense,
            [m.expand(batch, -1, -1, -1) for m in features.semantic[:2]],
            pseudo_mask / LOGIT_LIMIT,
        )
        return masks + self.residual_gain * pseudo_mask, predicted_iou
