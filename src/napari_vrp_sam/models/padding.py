"""Padding of frames to a multiple of the coarsest stride, and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

PADDING = 32
"""Frames are padded to a multiple of this number of pixels."""


def pad_frames(frames: Tensor) -> Tensor:
    """Replicate the border at the bottom and right up to multiples of `PADDING`."""
    height, width = frames.shape[-2:]
    return F.pad(frames, (0, -width % PADDING, 0, -height % PADDING), mode="replicate")


def padded_size(size: Sequence[int]) -> tuple[int, int]:
    """Return the size of padded frames, given that of the frames."""
    height, width = size
    return height + -height % PADDING, width + -width % PADDING


def resize_to_frame(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Resize the logits (B, K, h, w) of padded frames to the size of the frames."""
    height, width = size
    full = F.interpolate(logits, padded_size(size), mode="bilinear", align_corners=False)
    return full[..., :height, :width]
