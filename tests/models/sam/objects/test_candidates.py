"""Object candidates in a pseudo-mask."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk

from napari_vrp_sam.models.sam.objects.candidates import MIN_CELLS, find_candidates


def discs(*circles: tuple[int, int, int], size: int = 64) -> np.ndarray:
    probability = np.full((size, size), 0.02)
    for row, column, radius in circles:
        probability[disk((row, column), radius, shape=probability.shape)] = 0.9
    return probability


def test_points_and_boxes_of_separate_objects() -> None:
    found = find_candidates(discs((14, 20, 8), (44, 40, 12)))
    assert len(found) == 2
    assert found.points.tolist() == [[40, 44], [20, 14]]  # the larger one first
    assert found.boxes[0].tolist() == [29, 33, 52, 56]
    assert found.masks[0, 44, 40]
    assert not found.masks[0, 14, 20]


def test_touching_objects_are_split_and_long_ones_are_not() -> None:
    touching = find_candidates(discs((30, 20, 9), (30, 37, 9)))
    assert sorted(touching.points[:, 0].tolist()) == pytest.approx([20, 37], abs=1)
    assert not (touching.masks[0] & touching.masks[1]).any()
    bar = np.zeros((64, 64))
    bar[20:30, 5:60] = 0.8
    assert len(find_candidates(bar)) == 1
    assert find_candidates(bar).boxes.tolist() == [[5, 20, 60, 30]]


def test_sizes_and_number_are_limited() -> None:
    assert len(find_candidates(np.full((32, 32), 0.9))) == 0  # all of the frame
    assert len(find_candidates(np.zeros((32, 32)))) == 0
    dust = np.zeros((64, 64))
    dust[::4, ::4] = 0.9
    assert len(find_candidates(dust)) == 0
    many = np.zeros((64, 64))
    many[0:60:6, 0:60:6] = many[1:60:6, 0:60:6] = many[2:60:6, 0:60:6] = 0.9
    many[:, 1:] = np.maximum(many[:, 1:], many[:, :-1])
    assert MIN_CELLS <= 6
    few = find_candidates(many, limit=7)
    assert len(few) == 7
    # The certain ones come first.
    many[30:, :] *= 0.7
    assert find_candidates(many, limit=50).points[:, 1].max() < 30
