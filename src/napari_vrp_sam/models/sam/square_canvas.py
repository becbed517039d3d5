"""The square canvas that both encoders of a full-size model see: the frame, then padding.

The frame lies at the top left, its longest side as long as the canvas, so that the cells of any
grid over the canvas lie where they do on any other.
"""

from __future__ import annotations

import torch
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


def place_on_square_canvas(frames: Tensor, side: int, fill: Tensor) -> Tensor:
    """Frames of shape (B, 3, H, W) at the top left of a canvas (B, 3, side, side) of one colour.

    Parameters
    ----------
    frames : Tensor
    side : int
        In pixels.
    fill : Tensor, shape (3, 1, 1) or (1, 3, 1, 1)
        Where the frames are: a copy from the CPU would wait for all that is under way there.
    """
    small = resize_longest_side(frames, side)
    canvas = fill.expand(len(frames), -1, side, side)
    canvas = canvas.contiguous(memory_format=torch.channels_last)
    canvas[..., : small.shape[-2], : small.shape[-1]] = small
    return canvas


def pad_to_square(mask: Tensor) -> Tensor:
    """Pad a mask of shape (B, C, H, W) with zeros below and to the right."""
    height, width = mask.shape[-2:]
    longest = max(height, width)
    return F.pad(mask, (0, longest - width, 0, longest - height))


def on_canvas(visible: Tensor) -> Tensor:
    """A map (..., h, w) of the frame's cells alone on the square canvas, its border repeated."""
    rows, columns = visible.shape[-2:]
    side = max(rows, columns)
    return F.pad(visible, (0, side - columns, 0, side - rows), mode="replicate")


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
