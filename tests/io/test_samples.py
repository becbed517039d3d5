from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.io.samples import sample_nuclei, sample_stack
from napari_vrp_sam.research.protocols.metrics import iou
from napari_vrp_sam.research.protocols.random_forest import RandomForest


@pytest.mark.parametrize(("make", "dtype"), [(sample_stack, np.uint8), (sample_nuclei, np.uint16)])
def test_shape_and_seed(make: Callable, dtype: type) -> None:
    stack, truth = make(seed=3, size=96, frames=6)
    assert stack.shape == truth.shape == (6, 96, 96)
    assert stack.dtype == dtype
    assert set(np.unique(truth)) == {0, 1}
    again, _ = make(seed=3, size=96, frames=6)
    np.testing.assert_array_equal(stack, again)
    other, _ = make(seed=4, size=96, frames=6)
    assert (stack != other).mean() > 0.5


@pytest.mark.parametrize("make", [sample_stack, sample_nuclei])
def test_truth_changes_smoothly(make: Callable) -> None:
    _, truth = make(seed=0, size=128, frames=9)
    neighbours = [iou(truth[i] > 0, truth[i + 1] > 0) for i in range(8)]
    assert np.mean(neighbours) > 0.6
    assert iou(truth[0] > 0, truth[8] > 0) < np.mean(neighbours) - 0.1


def test_the_middle_slice_can_be_annotated() -> None:
    """The demo annotates the middle slice of the default stack, and measures every slice."""
    _, truth = sample_stack()
    coverage = truth.mean(axis=(1, 2))
    assert 0.03 < coverage[12] < 0.3
    assert coverage.min() > 0.01


def test_no_threshold_and_no_forest_solves_the_stack() -> None:
    stack, truth = sample_stack(seed=0, size=160, frames=9)
    true = truth[7] > 0
    below = max(iou(stack[7] < level, true) for level in range(60, 200, 5))
    assert below < 0.3
    segment = RandomForest(trees=20)([], [Reference(stack[4], truth[4])])
    assert iou(segment(stack[7][..., None]).masks[0], true) < 0.6
