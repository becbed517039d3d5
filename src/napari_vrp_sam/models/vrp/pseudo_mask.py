"""Kinds of pseudo-mask, and the paper's: where the target looks like the annotated reference."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.errors import InputError

PseudoMaskKind = Literal["probe", "correlation"]
"""A classifier fitted on the references, or the paper's training-free similarity."""

CORRELATION_EPS = 1e-7


def check_pseudo_mask(kind: PseudoMaskKind) -> PseudoMaskKind:
    """The kind itself.

    Raises
    ------
    InputError
        If there is no such kind.
    """
    if kind not in get_args(PseudoMaskKind):
        raise InputError(f"Unknown pseudo-mask {kind!r}: use 'probe' or 'correlation'.")
    return kind


def correlation(target: Tensor, reference_masked: Tensor, mask: Tensor) -> Tensor:
    """Highest cosine similarity of each target position to any annotated reference position.

    Parameters
    ----------
    target : Tensor, shape (B, C, h, w)
        Deepest features of the target.
    reference_masked : Tensor, shape (B, C, h', w')
        Deepest features of the reference, computed from masked stage-3 features.
    mask : Tensor, shape (B, 1, H, W)
        The annotation in 0..1 as it masked the stage-3 features (see `mask_on_grid`).

    Returns
    -------
    Tensor, shape (B, 1, h, w)
        Similarity, not rescaled to 0..1 (for features after a ReLU it lies there).

    Notes
    -----
    Paper, section 3.2. Where stage 4 is coarser than stage 3 the mask is resized bilinearly with
    corners aligned. Positions outside the annotation have norm 0, so their similarity is 0.
    """
    soft = F.interpolate(mask, reference_masked.shape[-2:], mode="bilinear", align_corners=True)
    reference = (reference_masked * soft).flatten(2)
    tokens = target.flatten(2)
    norms = reference.norm(dim=1)[:, :, None] * tokens.norm(dim=1)[:, None]
    similarity: Tensor = torch.einsum("bcr,bct->brt", reference, tokens) / (norms + CORRELATION_EPS)
    return similarity.amax(dim=1).reshape(len(target), 1, *target.shape[-2:])
