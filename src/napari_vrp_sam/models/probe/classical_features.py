"""What a backbone trained on photographs throws away: brightness, edges and ridges as they are.

Many materials and stains differ in nothing but absolute brightness, and a filament is a ridge
whatever it shows. These are the filters that random-forest tools for microscopy work on.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

BLUR_SIGMAS = (0.5, 1.0, 2.0, 4.0)
"""Gaussian scales of the colours, in pixels of the half-size frame."""

STRUCTURE_SIGMAS = (1.0, 2.0, 4.0, 8.0)
"""Gaussian scales of edges and ridges, in pixels of the half-size frame."""


def intensities(frames: Tensor) -> Tensor:
    """The colours at stride 2 and several scales.

    Parameters
    ----------
    frames : Tensor, shape (B, 3, H, W)
        In 0..1.

    Returns
    -------
    Tensor, shape (B, 15, H / 2, W / 2)
    """
    half = F.avg_pool2d(frames, 2)
    return torch.cat([half, *(blurred(half, sigma, truncate=2) for sigma in BLUR_SIGMAS)], dim=1)


def structures(frames: Tensor) -> Tensor:
    """Edges and ridges of the gray frame at stride 2 and several scales.

    Parameters
    ----------
    frames : Tensor, shape (B, 3, H, W)
        In 0..1.

    Returns
    -------
    Tensor, shape (B, 13, H / 2, W / 2)
        For each scale the gradient's magnitude and the larger and smaller eigenvalue of the
        Hessian, in scale-normalised units; last the gray frame at the coarsest scale.
    """
    gray = F.avg_pool2d(frames, 2).mean(dim=1, keepdim=True)
    channels = []
    for sigma in STRUCTURE_SIGMAS:
        smooth = blurred(gray, sigma, truncate=3)
        around = F.pad(smooth, (1, 1, 1, 1), mode="replicate")
        up, down = around[..., :-2, 1:-1], around[..., 2:, 1:-1]
        left, right = around[..., 1:-1, :-2], around[..., 1:-1, 2:]
        gradient = torch.hypot(right - left, down - up) / 2
        xx, yy = left + right - 2 * smooth, up + down - 2 * smooth
        xy = (
            around[..., 2:, 2:]
            + around[..., :-2, :-2]
            - around[..., 2:, :-2]
            - around[..., :-2, 2:]
        ) / 4
        centre, radius = (xx + yy) / 2, torch.hypot((xx - yy) / 2, xy)
        channels += [sigma * gradient, sigma**2 * (centre + radius), sigma**2 * (centre - radius)]
    return torch.cat([*channels, smooth], dim=1)


def blurred(frames: Tensor, sigma: float, *, truncate: int) -> Tensor:
    """Gaussian of maps of any size, shape (B, C, h, w); borders are repeated.

    Parameters
    ----------
    frames : Tensor
    sigma : float
        In cells of the map.
    truncate : int
        Reach of the kernel in whole sigmas.
    """
    radius = truncate * math.ceil(sigma)
    offsets = torch.arange(-radius, radius + 1, device=frames.device, dtype=frames.dtype)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    maps = frames.reshape(-1, *frames.shape[-2:])
    if frames.device.type == "cpu":
        return _along_columns(_along_columns(maps.mT, kernel).mT, kernel).reshape(frames.shape)
    # Channels as single maps, rows after columns: torchvision's kernel of both dimensions takes up
    # to 24 times as long.
    maps = F.pad(maps[:, None], (radius,) * 4, mode="replicate")
    maps = F.conv2d(F.conv2d(maps, kernel[None, None, None]), kernel[None, None, :, None])
    return maps.reshape(frames.shape)


def _along_columns(maps: Tensor, kernel: Tensor) -> Tensor:
    """Maps of shape (N, h, w) convolved with a kernel along h.

    Columns stand as channels, each with the same kernel: what lies side by side in memory is
    computed at once. As single-channel images they take ten times as long.
    """
    count, _, width = maps.shape
    radius = len(kernel) // 2
    padded = F.pad(maps[None], (0, 0, radius, radius), mode="replicate")[0]
    columns = padded.reshape(count, -1, 1, width).permute(0, 3, 1, 2)
    weight = kernel[None, None, :, None].expand(width, -1, -1, -1)
    return F.conv2d(columns, weight, groups=width)[..., 0].mT
