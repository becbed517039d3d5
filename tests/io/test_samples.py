from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from skimage.draw import polygon2mask

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.io.samples import sample_nuclei, sample_scene, sample_stack
from napari_vrp_sam.research.protocols.random_forest import RandomForest
from napari_vrp_sam.training.metrics import iou


@pytest.mark.parametrize(("make", "dtype"), [(sample_stack, np.uint8), (sample_nuclei, np.uint16)])
def test_a_sample_depends_on_its_seed_only(make: Callable, dtype: type) -> None:
    stack, ground_truth = make(seed=3, size=96, frames=6)
    assert stack.shape == ground_truth.shape == (6, 96, 96)
    assert stack.dtype == dtype
    assert set(np.unique(ground_truth)) == {0, 1}
    again, _ = make(seed=3, size=96, frames=6)
    np.testing.assert_array_equal(stack, again)
    other, _ = make(seed=4, size=96, frames=6)
    assert (stack != other).mean() > 0.5


@pytest.mark.parametrize("make", [sample_stack, sample_nuclei])
def test_the_ground_truth_changes_smoothly(make: Callable) -> None:
    _, ground_truth = make(seed=0, size=128, frames=9)
    neighbours = [iou(ground_truth[i] > 0, ground_truth[i + 1] > 0) for i in range(8)]
    assert np.mean(neighbours) > 0.6
    assert iou(ground_truth[0] > 0, ground_truth[8] > 0) < np.mean(neighbours) - 0.1


@pytest.mark.thorough
def test_every_slice_of_the_default_stack_shows_the_class() -> None:
    """The demo annotates the middle slice, and measures the accuracy of every slice."""
    _, ground_truth = sample_stack()
    coverage = ground_truth.mean(axis=(1, 2))
    assert 0.03 < coverage[12] < 0.3
    assert coverage.min() > 0.01


def test_a_threshold_or_a_random_forest_does_not_solve_the_stack() -> None:
    stack, ground_truth = sample_stack(seed=0, size=160, frames=9)
    expected = ground_truth[7] > 0
    threshold = max(iou(stack[7] < level, expected) for level in range(60, 200, 5))
    assert threshold < 0.3
    segment = RandomForest(trees=20)([], [Reference(stack[4], ground_truth[4])])
    assert iou(segment(stack[7][..., None]).masks[0], expected) < 0.6


def test_a_scene_depends_on_its_seed_and_outlines_the_class() -> None:
    scene, ground_truth, polygons = sample_scene(seed=3, size=256, drawn=1)
    assert (scene.shape, scene.dtype, ground_truth.shape) == ((256, 256, 3), np.uint8, (256, 256))
    np.testing.assert_array_equal(scene, sample_scene(seed=3, size=256, drawn=1)[0])
    assert (scene != sample_scene(seed=4, size=256)[0]).mean() > 0.5
    drawn = sum(polygon2mask(ground_truth.shape, polygon).astype(int) for polygon in polygons)
    assert len(polygons) == 1
    assert drawn.max() == 1
    assert ground_truth[drawn > 0].mean() > 0.95
    assert np.count_nonzero(ground_truth) > np.count_nonzero(drawn) > 500


def test_a_colour_does_not_solve_the_scene() -> None:
    scene, ground_truth, _ = sample_scene(seed=0, size=384)
    truth = ground_truth > 0
    ious = [
        max(iou(scene[..., c] < level, truth), iou(scene[..., c] > level, truth))
        for c in range(3)
        for level in range(40, 220, 5)
    ]
    assert max(ious) < 0.6
