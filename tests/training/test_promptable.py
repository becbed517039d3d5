from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.measure import label
from torch import Tensor

from napari_vrp_sam.training.promptable import MAX_POINTS, MIN_AREA, sample_geometric_prompts


@pytest.fixture
def masks() -> Tensor:
    """Three objects and a speck; one object; an empty mask; a single speck."""
    made = torch.zeros(4, 48, 64)
    made[0, 2:12, 3:20] = made[0, 20:40, 5:15] = made[0, 30:45, 40:60] = 1
    made[0, 2:4, 60:62] = 1
    made[1, 10:30, 10:50] = 1
    made[3, 5:9, 5:9] = 1
    return made


def test_one_object_of_each_mask_is_prompted(masks: Tensor) -> None:
    for seed in range(5):
        objects, _, _, _, found = sample_geometric_prompts(masks, np.random.default_rng(seed))
        assert found.tolist() == [True, True, False, False]
        assert not objects[~found].any()
        parts = label(masks[0].numpy() > 0)
        picked = np.unique(parts[objects[0].numpy() > 0])
        assert len(picked) == 1
        assert np.array_equal(parts == picked[0], objects[0].numpy() > 0)
        assert objects[0].sum() >= MIN_AREA
        torch.testing.assert_close(objects[1], masks[1])


def test_every_object_but_no_speck_can_be_drawn(masks: Tensor) -> None:
    picked = {
        tuple(
            sample_geometric_prompts(masks, np.random.default_rng(seed))[0][0].nonzero()[0].tolist()
        )
        for seed in range(40)
    }
    assert picked == {(2, 3), (20, 5), (30, 40)}


def test_points_lie_on_the_object(masks: Tensor) -> None:
    counts = set()
    for seed in range(20):
        objects, points, labels, _, found = sample_geometric_prompts(
            masks, np.random.default_rng(seed)
        )
        assert points.shape == (4, MAX_POINTS, 2)
        for mask, at in zip(objects[found], points[found], strict=True):
            columns, rows = at.long().unbind(1)
            assert mask[rows, columns].all()
        # Padding follows the points, of which there is at least one.
        used = (labels == 1).sum(dim=1)
        assert set(labels.unique().tolist()) <= {1, -1}
        assert (labels[:, 0] == 1).all()
        assert (labels.diff(dim=1) <= 0).all()
        counts.update(used.tolist())
    assert counts == {1, 2, 3}


def test_boxes_are_nearly_tight(masks: Tensor) -> None:
    exact = torch.tensor([10.0, 10.0, 49.0, 29.0])
    tolerance = 0.1 * torch.tensor([39.0, 19.0, 39.0, 19.0])
    differences = torch.stack(
        [
            sample_geometric_prompts(masks, np.random.default_rng(seed))[3][1] - exact
            for seed in range(30)
        ]
    )
    assert (differences.abs() <= tolerance).all()
    assert (differences.abs().amax(dim=0) > 0.5 * tolerance).all()


def test_prompts_depend_only_on_the_generator(masks: Tensor) -> None:
    first, again = (sample_geometric_prompts(masks, np.random.default_rng(3)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)
