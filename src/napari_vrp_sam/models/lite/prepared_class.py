"""Class that `lite` has learned from its references."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.network import Conditioning, LiteNetwork
from napari_vrp_sam.models.lite.parts import LOGIT_LIMIT
from napari_vrp_sam.models.probe.encoded_shots import Shot
from napari_vrp_sam.models.vrp.feature_augmenter import mask_on_grid
from napari_vrp_sam.models.vrp.pseudo_mask import correlation


@dataclass(frozen=True, eq=False)
class PreparedClass:
    """Everything that `LiteModel.prepare` computes from the references of one class."""

    class_id: int
    conditioning: Conditioning
    calibration: ClassCalibration
    correlation_references: tuple[tuple[Tensor, Tensor], ...]
    """Masked deepest features and mask of each reference; empty to use the probe."""

    scenes: Tensor | None = None
    """Scenes of the references, shape (R, C), if frames are compared with them."""

    @property
    def used_calibration(self) -> ClassCalibration:
        """Calibration without what was estimated with the probe, if the correlation is used."""
        if not self.correlation_references:
            return self.calibration
        return replace(self.calibration, edge_share=0.0, offset=0.0, expected_iou=None)

    def correlation(self, features: FrameFeatures) -> Tensor | None:
        """Return the logits of the correlation pseudo-mask, or None to use the probe."""
        references = self.correlation_references
        if not references:
            return None
        height, width = features.embedding.shape[-2:]
        deepest = features.semantic[4]
        best = torch.stack([correlation(deepest, r, mask) for r, mask in references]).amax(0)
        logits = (best - 0.5) * LOGIT_LIMIT
        return F.interpolate(logits, (4 * height, 4 * width), mode="bilinear", align_corners=False)


def correlation_reference(network: LiteNetwork, shot: Shot) -> tuple[Tensor, Tensor]:
    """Return deepest features of the masked reference, and its mask (paper, appendix)."""
    stage_3 = shot.features.semantic[3]
    mask = mask_on_grid(shot.mask[:, None], (stage_3.shape[-2], stage_3.shape[-1]))
    return network.deepest_stage(stage_3 * mask), mask
