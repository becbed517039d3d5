"""Square canvas that both encoders of a full-size model see: the frame, then padding.

The frame is at the top left and its longest side is as long as the canvas, so the cells of all
feature maps of the canvas are aligned.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor


def resize_longest_side(frames: Tensor, side: int) -> Tensor:
    """Resize frames of shape (B, 3, H, W) so that the longest side has `side` pixels.

    The interpolation is bilinear with anti-aliasing, as in `segment_anything`.
    """
    size = ResizeLongestSide.get_preprocess_shape(*frames.shape[-2:], side)
    if size == tuple(frames.shape[-2:]):
        return frames
    return F.interpolate(frames, size, mode="bilinear", align_corners=False, antialias=True)


def place_on_square_canvas(frames: Tensor, side: int, fill: Tensor) -> Tensor:
    """Resize frames and place them at the top left of a canvas of one colour.

    Parameters
    ----------
    frames : Tensor, shape (B, 3, H, W)
    side : int
        Side of the canvas in pixels.
    fill : Tensor, shape (3, 1, 1) or (1, 3, 1, 1)
        Colour of the canvas, on the device of the frames: a copy from the CPU would synchronise.

    Returns
    -------
    Tensor, shape (B, 3, side, side)
    """
    small = resize_longest_side(frames, side)
    canvas = fill.expand(len(frames), -1, side, side)
    canvas = canvas.contiguous(memory_format=torch.channels_last)
    canvas[..., : small.shape[-2], : small.shape[-1]] = small
    return canvas


def pad_to_square(mask: Tensor) -> Tensor:
    """Pad a mask of shape (B, C, H, W) with zeros at the bottom and right."""
    height, width = mask.shape[-2:]
    longest = max(height, width)
    return F.pad(mask, (0, longest - width, 0, longest - height))


def extend_to_square(visible: Tensor) -> Tensor:
    """Pad a map (B, C, h, w) of the frame to a square by repeating its border."""
    rows, columns = visible.shape[-2:]
    side = max(rows, columns)
    return F.pad(visible, (0, side - columns, 0, side - rows), mode="replicate")


def frame_cells(size: tuple[int, int], grid: Tensor) -> tuple[int, int]:
    """Return the rows and columns of a map (..., h, w) that show a frame of `size`."""
    height, width = size
    longest = max(height, width)
    rows, columns = grid.shape[-2:]
    return -(-rows * height // longest), -(-columns * width // longest)


def repeat_border(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Replace the padding of a map (B, C, h, w) by the border cells of a frame of `size`."""
    rows, columns = frame_cells(size, features)
    bottom, right = features.shape[-2] - rows, features.shape[-1] - columns
    return F.pad(features[..., :rows, :columns], (0, right, 0, bottom), mode="replicate")
