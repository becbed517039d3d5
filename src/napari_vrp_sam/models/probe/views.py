"""Augmented views of annotated frames: rotated, scaled, and with another brightness.

A frame shows a class in one orientation, scale and illumination. A probe fitted on several views
learns what they have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.interruption import check_interrupted
from napari_vrp_sam.models.probe.encoded_shots import Shot, make_shot, shots_with_class

VIEW_COUNT = 5
"""Views of all annotated frames together; each frame has at least one."""

VIEW_SIDE = 640
"""Longest side of a view in pixels; a larger frame is cropped around some of the class."""

SCALES = (0.7, 1.4)
"""Smallest and largest scale of a view."""

MIN_SIDE = 16


def augmented_views(
    shots: Sequence[Shot], encode: Callable[[Tensor], FrameFeatures], count: int = VIEW_COUNT
) -> list[Shot]:
    """Return encoded views of the references of one class, as far as their `image` is available.

    `encode` takes frames of shape (1, 3, H, W) in 0..1; the probe reads its semantic maps. There
    are `count` views of all references together, but at least one of each.
    """
    rng = np.random.default_rng(0)
    views = []
    shots = shots_with_class(shots)
    for shot in shots:
        if shot.image is None:
            continue
        height, width = shot.image.shape[-2:]
        fold = torch.zeros_like(shot.mask) if shot.fold is None else shot.fold
        layers = torch.cat([shot.foreground, shot.background, fold])[:, :height, :width]
        for _ in range(-(-count // len(shots))):
            check_interrupted()
            image, (foreground, background, fold) = sample_view(shot.image, layers, rng)
            total = foreground + background
            features = encode(image[None])
            mask = (foreground / total.clamp_min(1e-6))[None]
            view = make_shot(features, features.semantic, mask, ["mask"], ignored=1 - total[None])
            bottom, right = (
                padded - side for padded, side in zip(view.mask.shape[1:], fold.shape, strict=True)
            )
            fold = F.pad(fold.clamp(0, 1)[None], (0, right, 0, bottom))
            views.append(replace(view, fold=fold))
    return views


def sample_view(image: Tensor, layers: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw one view of a frame (3, H, W) in 0..1 and of the labels of its pixels (L, H, W).

    The first labels are foreground and background, in 0..1. Frame and labels change their size.
    """
    joined = torch.cat([image, layers])
    scale = float(np.exp(rng.uniform(*np.log(SCALES))))
    joined = _crop(joined, VIEW_SIDE / scale, rng)
    size = [max(MIN_SIDE, round(side * scale)) for side in joined.shape[1:]]
    # On the CPU, because older versions of PyTorch cannot resize with antialiasing on Metal.
    joined = F.interpolate(
        joined[None].cpu(), size, mode="bilinear", align_corners=False, antialias=True
    )[0].to(image)
    joined = torch.rot90(joined, int(rng.integers(4)), (1, 2))
    if rng.random() < 0.5:
        joined = joined.flip(2)
    return _change_brightness(joined[:3], rng), joined[3:]


def _crop(joined: Tensor, side: float, rng: np.random.Generator) -> Tensor:
    """Crop to a square that shows some of the class, if the frame is larger than that."""
    foreground, background = joined[3:5]
    height, width = foreground.shape
    if max(height, width) <= side:
        return joined
    # Labels may be faint everywhere. Without foreground, the crop shows some known background.
    known = foreground if bool(foreground.any()) else background
    candidates = (known > 0.5 * known.max()).nonzero()
    centre = candidates[int(rng.integers(len(candidates)))].tolist() if len(candidates) else (0, 0)
    starts = []
    for middle, length in zip(centre, (height, width), strict=True):
        # The class is not always in the middle of the crop.
        start = round(middle - side * rng.uniform(0.1, 0.9))
        starts.append(min(max(start, 0), max(length - int(side), 0)))
    top, left = starts
    return joined[:, top : top + int(side), left : left + int(side)]


def _change_brightness(image: Tensor, rng: np.random.Generator) -> Tensor:
    gamma, gain = np.exp(rng.uniform(-0.3, 0.3)), np.exp(rng.uniform(-0.15, 0.15))
    changed: Tensor = gain * image.clamp(0, 1) ** gamma + rng.uniform(-0.06, 0.06)
    return changed.clamp(0, 1)
