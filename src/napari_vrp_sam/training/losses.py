"""Segmentation losses of the paper (section 3.4): binary cross-entropy and Dice."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

LossKind = Literal["bce", "dice", "both"]
"""Variants of the loss (paper, table 5)."""


def bce_loss(logits: Tensor, masks: Tensor, valid: Tensor | None = None) -> Tensor:
    """Compute the binary cross-entropy, averaged over the valid pixels of all masks.

    Parameters
    ----------
    logits, masks : Tensor, shape (..., H, W)
        Predicted logits, and ground truth in 0..1.
    valid : Tensor, shape (..., H, W), optional
        Pixels that count; default: all.

    Returns
    -------
    Tensor
        Scalar; 0 if no pixel is valid.
    """
    if valid is None:
        return F.binary_cross_entropy_with_logits(logits, masks)
    weight = valid.to(logits.dtype)
    total = F.binary_cross_entropy_with_logits(logits, masks, weight, reduction="sum")
    return total / weight.sum().clamp(min=1)


def dice_loss(logits: Tensor, masks: Tensor, valid: Tensor | None = None) -> Tensor:
    """Compute ``1 - (2 sum(p g) + 1) / (sum(p) + sum(g) + 1)``, averaged over the masks.

    Parameters and result are those of `bce_loss`.
    """
    probabilities = logits.sigmoid()
    if valid is not None:
        probabilities, masks = probabilities * valid, masks * valid
    overlap = (probabilities * masks).sum(dim=(-2, -1))
    size = probabilities.sum(dim=(-2, -1)) + masks.sum(dim=(-2, -1))
    return (1 - (2 * overlap + 1) / (size + 1)).mean()


def segmentation_loss(
    logits: Tensor, masks: Tensor, valid: Tensor | None = None, kind: LossKind = "both"
) -> Tensor:
    """Compute `bce_loss`, `dice_loss` or, as in the paper, their unweighted sum."""
    terms = [bce_loss] * (kind != "dice") + [dice_loss] * (kind != "bce")
    return torch.stack([term(logits, masks, valid) for term in terms]).sum()
