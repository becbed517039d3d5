"""Frames on the square canvas, and their padding."""

from __future__ import annotations

import torch

from napari_vrp_sam.models.sam.square_canvas import (
    frame_cells,
    pad_to_square,
    repeat_border,
    resize_longest_side,
)


def test_mask_is_padded_at_bottom_and_right() -> None:
    padded = pad_to_square(torch.ones(1, 1, 2, 5))
    assert padded.shape == (1, 1, 5, 5)
    assert padded[..., :2, :].eq(1).all()
    assert padded.sum() == 10


def test_longest_side_is_resized() -> None:
    assert resize_longest_side(torch.rand(2, 3, 100, 180), 90).shape == (2, 3, 50, 90)
    assert resize_longest_side(torch.rand(1, 3, 20, 10), 64).shape == (1, 3, 64, 32)


def test_cells_that_show_part_of_the_frame_are_counted() -> None:
    grid = torch.zeros(1, 7, 8, 8)
    assert frame_cells((100, 100), grid) == (8, 8)
    assert frame_cells((50, 100), grid) == (4, 8)
    assert frame_cells((100, 51), grid) == (8, 5)
    assert frame_cells((1000, 1), grid) == (8, 1)


def test_padding_repeats_border_cells() -> None:
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    repeated = repeat_border(features, (100, 50))[0, 0]
    assert repeated[:, :2].equal(features[0, 0, :, :2])
    assert repeated[:, 2:].equal(features[0, 0, :, 1:2].expand(4, 2))
    assert repeat_border(features, (70, 70)).equal(features)
