"""Feature augmenter: merges reference and target features with the annotated class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MASK_GAIN = 10.0
"""Factor for the mask channel, which brings it to the scale of the features."""

POOLING_EPS = 0.0005
"""Term that keeps the prototype finite if the resized mask is empty."""


class FeatureAugmenter(nn.Module):
    """Reduction of semantic features, and their merge with a class prototype and a mask.

    Reference and target share both 1x1 convolutions (paper, section 3.2, equations 1-3).

    Parameters
    ----------
    in_channels : int
        Number of channels of the semantic features, for example 512 + 1024 for stages 2 and 3 of
        ResNet-50.
    dim : int, default 256
        Number of channels of the enhanced features.
    dropout : float, default 0.5
        Probability of channel dropout after the reduction, in training only.
    """

    def __init__(self, in_channels: int, dim: int = 256, *, dropout: float = 0.5) -> None:
        super().__init__()
        self.reduction = nn.Sequential(
            nn.Conv2d(in_channels, dim, kernel_size=1, bias=False),
            nn.ReLU(),
            nn.Dropout2d(dropout),
        )
        self.merge = nn.Sequential(
            nn.Conv2d(2 * dim + 1, dim, kernel_size=1, bias=False), nn.ReLU()
        )

    def reduce(self, features: Tensor) -> Tensor:
        """Reduce semantic features of shape (B, C, h, w) to (B, dim, h, w)."""
        reduced: Tensor = self.reduction(features)
        return reduced

    def enhance(self, reduced: Tensor, prototype: Tensor, mask: Tensor) -> Tensor:
        """Merge reduced features with the prototype and a mask (equations 2 and 3).

        Parameters
        ----------
        reduced : Tensor, shape (B, dim, h, w)
        prototype : Tensor, shape (B, dim, 1, 1)
        mask : Tensor, shape (B, 1, h, w)
            Annotation of the reference, or pseudo-mask of the target.

        Returns
        -------
        Tensor, shape (B, dim, h, w)
        """
        merged: Tensor = self.merge(
            torch.cat([reduced, prototype.expand_as(reduced), MASK_GAIN * mask], dim=1)
        )
        return merged


def prototype(features: Tensor, mask: Tensor) -> Tensor:
    """Return the mean feature inside a mask (masked average pooling, equation 1).

    Parameters
    ----------
    features : Tensor, shape (B, dim, h, w)
    mask : Tensor, shape (B, 1, h, w)
        Values in 0..1, on the grid of the features.

    Returns
    -------
    Tensor, shape (B, dim, 1, 1)
    """
    total = (features * mask).sum(dim=(2, 3), keepdim=True)
    return total / (mask.sum(dim=(2, 3), keepdim=True) + POOLING_EPS)


def mask_on_grid(mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize annotations to a feature grid by nearest-neighbour interpolation.

    Parameters
    ----------
    mask : Tensor, shape (B, 1, H, W)
    grid : tuple of int
        Height and width of the feature grid.

    Returns
    -------
    Tensor, shape (B, 1, h, w)
        An annotation that the interpolation misses marks every cell that it touches instead.
    """
    if mask.shape[-2:] == grid:
        return mask
    nearest = F.interpolate(mask, size=grid, mode="nearest")
    missed = (nearest.amax(dim=(1, 2, 3)) == 0) & (mask.amax(dim=(1, 2, 3)) > 0)
    if missed.any():
        # On the CPU, because Metal (MPS) pools only by integer factors.
        touched = F.adaptive_max_pool2d(mask.cpu(), grid).to(mask.device)
        nearest = torch.where(missed[:, None, None, None], touched, nearest)
    return nearest
