"""Data of one class that a full-size model computes from its references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from torch import Tensor

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.sam.square_canvas import frame_cells, pad_to_square
from napari_vrp_sam.models.vrp.feature_augmenter import mask_on_grid
from napari_vrp_sam.models.vrp.pseudo_mask import correlation
from napari_vrp_sam.models.vrp.semantic_encoders import SemanticEncoder
from napari_vrp_sam.models.vrp.vrp_encoder import ReferenceEncoding, VRPEncoder


@dataclass(frozen=True, eq=False)
class PreparedClass:
    """Data of one class that depends on its references only.

    Attributes
    ----------
    class_id : int
    shots : int
        Number of references.
    pseudo_mask : callable, optional
        Function from the features of a target to pseudo-masks in 0..1: one per reference for the
        correlation, shape (shots, 1, h, w), or one for the probe, shape (1, 1, h, w).
    encoding : ReferenceEncoding, optional
        Encoded references, for prompts of the VRP encoder.
    embedding : Tensor, shape (D,), optional
        Mean of SAM's embedding over the class, for PerSAM, which uses no pseudo-mask.
    calibration : ClassCalibration, optional
        Share of the mask decoder and expected IoU, for prompts per object.
    """

    class_id: int
    shots: int
    pseudo_mask: Callable[[FrameFeatures], Tensor] | None
    encoding: ReferenceEncoding | None
    embedding: Tensor | None = None
    calibration: ClassCalibration | None = None


def with_class(references: Sequence[EncodedReference]) -> list[EncodedReference]:
    """Return the references that show the class; others only provide background."""
    return [r for r in references if bool(r.mask.any())]


def stages_and_masks(references: Sequence[EncodedReference]) -> tuple[Tensor, Tensor, Tensor]:
    """Return stages 2 and 3 of references, and their masks on the grid of stage 3."""
    stage_2, stage_3 = (torch.cat([r.features.semantic[i] for r in references]) for i in (0, 1))
    padded = (pad_to_square(r.mask[None, None].to(stage_3)) for r in references)
    grid = (stage_3.shape[-2], stage_3.shape[-1])
    return stage_2, stage_3, torch.cat([mask_on_grid(mask, grid) for mask in padded])


def clear_padding(pseudo_mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Set the cells of a pseudo-mask (..., h, w) outside of a frame of `size` to 0."""
    rows, columns = frame_cells(size, pseudo_mask)
    cleared = torch.zeros_like(pseudo_mask)
    cleared[..., :rows, :columns] = pseudo_mask[..., :rows, :columns]
    return cleared


def correlate(target: FrameFeatures, *, reference_masked: Tensor, masks: Tensor) -> Tensor:
    """Return the pseudo-masks (shots, 1, h, w) of a target by correlation with its references."""
    deepest = target.semantic[2].expand(len(masks), -1, -1, -1)
    similarity = correlation(deepest, reference_masked, masks)
    # The feature augmenter uses the grid of stage 3.
    return F.interpolate(
        similarity, target.semantic[1].shape[-2:], mode="bilinear", align_corners=True
    )


def check_sizes(vrp_encoder: VRPEncoder, semantic: SemanticEncoder, sam: Sam) -> None:
    """Raise `InputError` if a VRP encoder does not fit the semantic encoder or SAM."""
    sizes = sum(semantic.channels[:2]), sam.prompt_encoder.embed_dim
    if (vrp_encoder.config["in_channels"], vrp_encoder.config["dim"]) != sizes:
        raise InputError(
            "The VRP encoder was trained with another SAM or semantic encoder: choose those that "
            "it was trained with."
        )
