"""Classical filters for brightness, edges and ridges at several scales.

A backbone trained on photographs discards absolute brightness, which is all that distinguishes many
materials and stains. Pixel classifiers for microscopy use the same kinds of filters.
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
    """Return the colours at stride 2, unfiltered and at each scale of `BLUR_SIGMAS`.

    Parameters
    ----------
    frames : Tensor, shape (B, 3, H, W)
        Frames in 0..1.

    Returns
    -------
    Tensor, shape (B, 15, H / 2, W / 2)
    """
    half = F.avg_pool2d(frames, 2)
    blurs = (gaussian_blur(half, sigma, truncate=2) for sigma in BLUR_SIGMAS)
    return torch.cat([half, *blurs], dim=1)


def structures(frames: Tensor) -> Tensor:
    """Return edge and ridge filters of the gray frame at stride 2.

    Parameters
    ----------
    frames : Tensor, shape (B, 3, H, W)
        Frames in 0..1.

    Returns
    -------
    Tensor, shape (B, 13, H / 2, W / 2)
        Gradient magnitude, larger and smaller eigenvalue of the Hessian for each scale of
        `STRUCTURE_SIGMAS`, in scale-normalised units, then the gray frame at the coarsest scale.
    """
    gray = F.avg_pool2d(frames, 2).mean(dim=1, keepdim=True)
    channels = []
    for sigma in STRUCTURE_SIGMAS:
        smooth = gaussian_blur(gray, sigma, truncate=3)
        padded = F.pad(smooth, (1, 1, 1, 1), mode="replicate")
        up, down = padded[..., :-2, 1:-1], padded[..., 2:, 1:-1]
        left, right = padded[..., 1:-1, :-2], padded[..., 1:-1, 2:]
        gradient = torch.hypot(right - left, down - up) / 2
        xx, yy = left + right - 2 * smooth, up + down - 2 * smooth
        xy = padded[..., 2:, 2:] + padded[..., :-2, :-2]
        xy = (xy - padded[..., 2:, :-2] - padded[..., :-2, 2:]) / 4
        centre, radius = (xx + yy) / 2, torch.hypot((xx - yy) / 2, xy)
        channels += [sigma * gradient, sigma**2 * (centre + radius), sigma**2 * (centre - radius)]
    return torch.cat([*channels, smooth], dim=1)


def gaussian_blur(maps: Tensor, sigma: float, *, truncate: int) -> Tensor:
    """Filter maps (B, C, h, w) with a Gaussian; borders are replicated.

    `sigma` is in cells of the map, `truncate` is the radius of the kernel in units of `sigma`.
    """
    radius = truncate * math.ceil(sigma)
    offsets = torch.arange(-radius, radius + 1, device=maps.device, dtype=maps.dtype)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    single = maps.reshape(-1, *maps.shape[-2:])
    if maps.device.type == "cpu":
        return _blur_columns(_blur_columns(single.mT, kernel).mT, kernel).reshape(maps.shape)
    # The 2-D kernel of torchvision takes up to 24 times as long as two 1-D convolutions.
    padded = F.pad(single[:, None], (radius,) * 4, mode="replicate")
    blurred = F.conv2d(F.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])
    return blurred.reshape(maps.shape)


def _blur_columns(maps: Tensor, kernel: Tensor) -> Tensor:
    """Convolve maps of shape (N, h, w) with a kernel along h, on a CPU."""
    # Columns become channels, so that neighbours in memory are computed together. As single-channel
    # images they take ten times as long.
    count, _, width = maps.shape
    radius = len(kernel) // 2
    padded = F.pad(maps[None], (0, 0, radius, radius), mode="replicate")[0]
    columns = padded.reshape(count, -1, 1, width).permute(0, 3, 1, 2)
    weight = kernel[None, None, :, None].expand(width, -1, -1, -1)
    return F.conv2d(columns, weight, groups=width)[..., 0].mT
