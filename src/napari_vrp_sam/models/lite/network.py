"""Network of `lite`: SAM-shaped, small enough for a laptop, one backbone for both encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from segment_anything.modeling import PromptEncoder
from torch import Tensor, nn

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.lite.backbone import FoldedBackbone
from napari_vrp_sam.models.lite.parts import (
    BACKBONE_CHANNELS,
    PROBE_RECIPE,
    SIMILARITY_LEVELS,
    VIEWS,
    LiteConfig,
    Neck,
    SkipMaskDecoder,
)
from napari_vrp_sam.models.probe.classical_features import intensities, structures
from napari_vrp_sam.models.probe.encoded_shots import Shot, make_shot, showing
from napari_vrp_sam.models.probe.ensemble import fit_ensemble, fit_linear_probe
from napari_vrp_sam.models.probe.hold_out import with_hold_out
from napari_vrp_sam.models.probe.probe import Probe
from napari_vrp_sam.models.probe.pseudo_labels import complete_shots
from napari_vrp_sam.models.probe.reference_bank import ReferenceBank, build_bank
from napari_vrp_sam.models.probe.views import sample_view
from napari_vrp_sam.models.vrp.vrp_encoder import ReferenceEncoding, VRPEncoder

STRIDE = 8
"""Pixels per cell of the image embedding."""

PADDING = 32
"""Frames are padded to a multiple of the coarsest stride."""

DEEPEST_STAGES = slice(5, 7)
"""Stages of the backbone between its maps at stride 16 and at stride 32."""

LOGIT_LIMIT = 8.0
"""Pseudo-mask logits are clipped here: beyond it a probe is certain, not better."""


@dataclass(frozen=True, eq=False)
class Conditioning:
    """What the references of B classes say, ready for any number of targets."""

    shots: tuple[Shot, ...]
    views: tuple[Shot, ...]
    probe: Probe
    bank: ReferenceBank
    encodings: tuple[ReferenceEncoding, ...]


def new_backbone() -> Any:
    """EfficientNet-Lite0 without weights, as maps at strides 2 to 32."""
    return timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True)


class LiteNetwork(nn.Module):
    """All learned parts of `lite`, batched over B frames of one class each.

    Parameters
    ----------
    config : LiteConfig
    """

    def __init__(self, config: LiteConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or LiteConfig()
        dim = config.dim
        self.backbone = new_backbone()
        self._folded = FoldedBackbone(self.backbone)
        self.neck = Neck(dim)
        # Frozen unless a training says otherwise.
        self.backbone.requires_grad_(requires_grad=False)
        # The sizes given here are replaced at every call: the grid follows the frame.
        self.prompt_encoder = PromptEncoder(dim, (32, 32), (256, 256), mask_in_chans=16)
        self.vrp_encoder = VRPEncoder(
            BACKBONE_CHANNELS[2] + BACKBONE_CHANNELS[3],
            dim,
            queries=config.queries,
            heads=config.heads,
        )
        self.similarity = nn.Sequential(
            nn.Conv2d(2 * len(SIMILARITY_LEVELS) + 1, dim // 2, kernel_size=3, padding=1),
            nn.GELU(),
            nn.Conv2d(dim // 2, dim, kernel_size=1),
        )
        self.decoder = SkipMaskDecoder(config)
        self.residual_gain = nn.Parameter(torch.tensor(1.0))
        self.train()  # a new module's parts are all in training mode, batch norm too

    def train(self, mode: bool = True) -> LiteNetwork:  # noqa: FBT001, FBT002
        """Switch mode; the backbone's batch norm stays in evaluation mode (paper, section 5.1)."""
        super().train(mode)
        self.backbone.eval()
        return self

    def encode(self, frames: Tensor) -> FrameFeatures:
        """Encode frames of shape (B, 3, H, W) in 0..1; maps cover the padded frame.

        After the backbone's five maps come those of `classical_features`.
        """
        height, width = frames.shape[-2:]
        bottom, right = -height % PADDING, -width % PADDING
        padded = F.pad(frames, (0, right, 0, bottom), mode="replicate")
        backbone = self.backbone if torch.is_grad_enabled() else self._folded
        maps = backbone((padded - 0.5) / 0.5)
        # Second derivatives are the small differences of large numbers: never in half precision.
        with torch.autocast(frames.device.type, enabled=False):
            classical = intensities(padded), structures(padded)
        return FrameFeatures((height, width), self.neck(maps), (*maps, *classical))

    def geometric_prompt(
        self, features: FrameFeatures, points: Tensor, labels: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """SAM's own prompts, for B objects.

        Parameters
        ----------
        features : FrameFeatures
        points : Tensor, shape (B, N, 2)
            Pixel coordinates (x, y).
        labels : Tensor, shape (B, N)
            1 on the object, 0 beside it, -1 for a point that does not count.
        boxes : Tensor, shape (B, 4), optional
            (x0, y0, x1, y1) in pixels.

        Returns
        -------
        sparse : Tensor, shape (B, tokens, D)
        dense : Tensor, shape (B, D, h, w)
        """
        height, width = features.embedding.shape[-2:]
        encoder = self.prompt_encoder
        encoder.image_embedding_size = (height, width)
        encoder.input_image_size = (height * STRIDE, width * STRIDE)
        sparse, dense = encoder(points=(points, labels), boxes=boxes, masks=None)
        return sparse, dense

    def semantic_features(self, features: FrameFeatures) -> Tensor:
        """Stages 2 and 3 joined at the finer one's grid: input of the VRP encoder."""
        fine, coarse = features.semantic[2], features.semantic[3]
        coarse = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat([fine, coarse], dim=1)

    def deepest_stage(self, stage_3: Tensor) -> Tensor:
        """Run the stages below stride 16 on given features (B, 112, h, w)."""
        for stage in self.backbone.blocks[DEEPEST_STAGES]:
            stage_3 = stage(stage_3)
        return stage_3

    def condition(
        self, shots: Sequence[Shot], views: Sequence[Shot] | None = None, *, effort: float = 1.0
    ) -> Conditioning:
        """All that depends on the references alone.

        Parameters
        ----------
        shots : sequence of Shot
            The references, in batches of B classes.
        views : sequence of Shot, optional
            Other views of them; made here unless given.
        effort : float, default 1
            See `fit_ensemble`.
        """
        with torch.no_grad():
            completed = complete_shots(shots, PROBE_RECIPE)
            bank = build_bank(completed, SIMILARITY_LEVELS)
        probe: Probe
        if self.training:
            # An ensemble at every training step would cost more than the step itself. The linear
            # probe is a differentiable function of the features, so a backbone can learn from it.
            probe = fit_linear_probe(completed, PROBE_RECIPE)
        else:
            with torch.no_grad():
                if views is None:
                    completed = with_hold_out(completed)
                    views = self._views(completed)
                probe = fit_ensemble(completed, PROBE_RECIPE, views, effort=effort)
        encodings = self.encodings(shots)
        return Conditioning(tuple(completed), tuple(views or ()), probe, bank, encodings)

    def encodings(self, shots: Sequence[Shot]) -> tuple[ReferenceEncoding, ...]:
        """What the VRP encoder makes of the references that show the class."""
        return tuple(
            self.vrp_encoder.encode_reference(
                self.semantic_features(shot.features), shot.mask[:, None]
            )
            for shot in (showing(shots) or shots)
        )

    def _views(self, shots: Sequence[Shot]) -> list[Shot]:
        """The annotated frames in other ways, as far as the frames themselves are known."""
        rng = np.random.default_rng(0)
        views = []
        shots = showing(shots)
        for shot in shots:
            if shot.image is None:
                continue
            height, width = shot.image.shape[-2:]
            half = torch.zeros_like(shot.mask) if shot.half is None else shot.half
            layers = torch.cat([shot.foreground, shot.background, half])
            for _ in range(-(-VIEWS // len(shots))):
                view = sample_view(shot.image, layers[:, :height, :width], rng)
                foreground, background, half = view.layers
                total = foreground + background
                features = self.encode(view.image[None])
                seen = make_shot(
                    features,
                    features.semantic,
                    (foreground / total.clamp_min(1e-6))[None],
                    ["mask"],
                    ignored=1 - total[None],
                )
                bottom, right = (
                    whole - part
                    for whole, part in zip(seen.mask.shape[1:], half.shape, strict=True)
                )
                views.append(
                    replace(seen, half=F.pad(half.clamp(0, 1)[None], (0, right, 0, bottom)))
                )
        return views

    def prompt(
        self, features: FrameFeatures, conditioning: Conditioning, pseudo_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Prompts for targets: B frames, or one frame shared by B classes.

        Parameters
        ----------
        features : FrameFeatures
        conditioning : Conditioning
        pseudo_mask : Tensor, shape (B, 1, 4 h, 4 w), optional
            Logits; the probe's unless given.

        Returns
        -------
        sparse : Tensor, shape (B, shots * queries, D)
        dense : Tensor, shape (B, D, h, w)
        pseudo_mask : Tensor, shape (B, 1, 4 h, 4 w)
            The logits that were used.
        """
        height, width = features.embedding.shape[-2:]
        with torch.no_grad():
            if pseudo_mask is None:
                pseudo_mask = conditioning.probe.logits(features.semantic, (4 * height, 4 * width))
            pseudo_mask = pseudo_mask.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
            belief = F.avg_pool2d(pseudo_mask.sigmoid(), 4)
            similarity = conditioning.bank.similarity(
                [features.semantic[level] for level in SIMILARITY_LEVELS], (height, width)
            )
        semantic = self.semantic_features(features)
        sparse = torch.cat(
            [self.vrp_encoder.prompts(e, semantic, belief) for e in conditioning.encodings], dim=1
        )
        mask_prompt: Tensor = self.prompt_encoder.mask_downscaling(pseudo_mask / LOGIT_LIMIT)
        dense = mask_prompt + self.similarity(torch.cat([similarity, belief], dim=1))
        return sparse, dense, pseudo_mask

    def decode(
        self,
        features: FrameFeatures,
        sparse: Tensor,
        dense: Tensor,
        pseudo_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Decode B prompts, of one frame or of B frames.

        Parameters
        ----------
        features : FrameFeatures
            Of B frames, or of one that all prompts share.
        sparse : Tensor, shape (B, N, D)
        dense : Tensor, shape (B, D, h, w)
        pseudo_mask : Tensor, shape (B, 1, 4 h, 4 w)
            Logits that the decoder's are added to.

        Returns
        -------
        logits : Tensor, shape (B, 1, 4 h, 4 w)
            At half the padded frame's size.
        quality : Tensor, shape (B, 1)
        """
        batch = len(sparse)
        height, width = features.embedding.shape[-2:]
        scaled = pseudo_mask / LOGIT_LIMIT
        # Many turns of a sine: in half precision its phase would be off.
        with torch.autocast(features.embedding.device.type, enabled=False):
            position = self.prompt_encoder.pe_layer((height, width))[None]
        masks, quality = self.decoder.forward_with_skips(
            features.embedding.expand(batch, -1, -1, -1),
            position,
            sparse,
            dense,
            [m.expand(batch, -1, -1, -1) for m in features.semantic[:2]],
            scaled,
        )
        return masks + self.residual_gain * pseudo_mask, quality
