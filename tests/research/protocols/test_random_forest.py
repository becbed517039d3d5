from __future__ import annotations

import numpy as np
import pytest

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.research.protocols.metrics import iou
from napari_vrp_sam.research.protocols.random_forest import RandomForest


@pytest.fixture
def frames_and_truth() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two textures of equal mean: no threshold separates them, filters do."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((96, 96))
    truth = [((rows + shift) // 24 + columns // 24) % 2 == 0 for shift in (0, 11)]
    frames = []
    for mask in truth:
        noise = rng.normal(0, np.where(mask, 40, 5))
        frames.append((128 + noise).clip(0, 255).astype(np.uint8)[..., None])
    return frames, truth


def test_learns_a_texture(frames_and_truth: tuple[list, list]) -> None:
    frames, truth = frames_and_truth
    reference = Reference(frames[0], truth[0], frame=0)
    inverse = Reference(frames[0], ~truth[0], 2, frame=0)
    masks = RandomForest(trees=10)(frames, [reference, inverse])(frames[1]).masks
    assert masks.shape == (2, 96, 96)
    assert masks.dtype == bool
    assert iou(masks[0], truth[1]) > 0.7
    assert iou(masks[1], ~truth[1]) > 0.7


def test_is_the_forest_of_the_protocol(frames_and_truth: tuple[list, list]) -> None:
    frames, truth = frames_and_truth
    baseline = RandomForest()
    forest = baseline.fit([Reference(frames[0], truth[0])])
    assert len(forest.estimators_) == 100
    assert forest.max_depth == 20
    # Sigma 1, 2, 4, 8, 16, each with intensity, gradient and two Hessian eigenvalues.
    assert baseline.features(frames[0]).shape == (96, 96, 20)


def test_samples_the_annotation(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_vrp_sam.research.protocols import random_forest

    monkeypatch.setattr(random_forest, "MAX_FOREGROUND", 30)
    monkeypatch.setattr(random_forest, "MAX_BACKGROUND", 70)
    mask = np.zeros((32, 32), bool)
    mask[:16] = True
    frame = np.where(mask, 200, 20).astype(np.uint8)
    forest = RandomForest(trees=1).fit([Reference(frame, mask)])
    assert forest.estimators_[0].tree_.weighted_n_node_samples[0] == 100


def test_references_of_a_class_make_one_forest() -> None:
    """What one frame alone cannot tell: dark in the first, bright in the second."""
    frames = [np.full((32, 32, 1), 128, np.uint8) for _ in range(2)]
    masks = [np.zeros((32, 32), bool) for _ in range(2)]
    for frame, mask, value in zip(frames, masks, (20, 240), strict=True):
        mask[8:24, 8:24] = True
        frame[mask] = value
    both = [Reference(f, m, frame=i) for i, (f, m) in enumerate(zip(frames, masks, strict=True))]
    (alone,) = RandomForest(trees=10)(frames, both[:1])(frames[1]).masks
    (together,) = RandomForest(trees=10)(frames, both)(frames[1]).masks
    assert iou(alone, masks[1]) < 0.5
    assert iou(together, masks[1]) > 0.9
