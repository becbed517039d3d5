"""Kinds of pseudo-mask, and the training-free pseudo-mask of the paper."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.errors import InputError

PseudoMaskKind = Literal["probe", "correlation"]
"""A classifier fitted to the references, or the paper's training-free similarity."""

CORRELATION_EPS = 1e-7


def check_pseudo_mask(kind: PseudoMaskKind) -> PseudoMaskKind:
    """Return the kind of pseudo-mask if it exists.

    Raises
    ------
    InputError
        If the kind is unknown.
    """
    if kind not in get_args(PseudoMaskKind):
        raise InputError(f"Unknown pseudo-mask {kind!r}: use 'probe' or 'correlation'.")
    return kind


def correlation(target: Tensor, reference_masked: Tensor, mask: Tensor) -> Tensor:
    """Return the highest cosine similarity of each target cell to the annotated reference cells.

    Parameters
    ----------
    target : Tensor, shape (B, C, h, w)
        Stage-4 features of the target.
    reference_masked : Tensor, shape (B, C, h', w')
        Stage-4 features of the reference, computed from masked stage-3 features.
    mask : Tensor, shape (B, 1, H, W)
        Annotation in 0..1 that masked the stage-3 features; see `mask_on_grid`.

    Returns
    -------
    Tensor, shape (B, 1, h, w)
        Similarity in -1..1; in 0..1 for features after a ReLU.

    Notes
    -----
    Paper, section 3.2. If stage 4 is coarser than stage 3, the mask is resized bilinearly with
    aligned corners. Cells outside the annotation have norm 0 and therefore similarity 0.
    """
    soft = F.interpolate(mask, reference_masked.shape[-2:], mode="bilinear", align_corners=True)
    reference = (reference_masked * soft).flatten(2)
    tokens = target.flatten(2)
    norms = reference.norm(dim=1)[:, :, None] * tokens.norm(dim=1)[:, None]
    similarity: Tensor = torch.einsum("bcr,bct->brt", reference, tokens) / (norms + CORRELATION_EPS)
    return similarity.amax(dim=1).reshape(len(target), 1, *target.shape[-2:])
