"""The square canvas that both encoders of a full-size model see: the frame, then padding.

The frame lies at the top left, its longest side as long as the canvas, so that the cells of any
grid over the canvas lie where they do on any other.
"""

from __future__ import annotations

import torch.nn.functional as F
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor


def resize_longest_side(frames: Tensor, side: int) -> Tensor:
    """Resize frames of shape (B, 3, H, W) so that the longest side has `side` pixels.

    Anti-aliased bilinear, as `segment_anything` resizes a batch.
    """
    size = ResizeLongestSide.get_preprocess_shape(*frames.shape[-2:], side)
    if size == tuple(frames.shape[-2:]):
        return frames
    return F.interpolate(frames, size, mode="bilinear", align_corners=False, antialias=True)


def pad_to_square(mask: Tensor) -> Tensor:
    """Pad a mask of shape (B, C, H, W) with zeros below and to the right."""
    height, width = mask.shape[-2:]
    longest = max(height, width)
    return F.pad(mask, (0, longest - width, 0, longest - height))


def frame_cells(size: tuple[int, int], grid: Tensor) -> tuple[int, int]:
    """Rows and columns of a map (..., h, w) that show a frame of `size` rather than padding."""
    height, width = size
    longest = max(height, width)
    rows, columns = grid.shape[-2:]
    return -(-rows * height // longest), -(-columns * width // longest)


def repeat_border(features: Tensor, size: tuple[int, int]) -> Tensor:
    """A map (B, C, h, w) whose padding repeats the outermost cells of a frame of `size`."""
    rows, columns = frame_cells(size, features)
    bottom, right = features.shape[-2] - rows, features.shape[-1] - columns
    return F.pad(features[..., :rows, :columns], (0, right, 0, bottom), mode="replicate")
