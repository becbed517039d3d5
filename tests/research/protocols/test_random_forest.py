from __future__ import annotations

import numpy as np
import pytest

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.research.protocols.random_forest import RandomForest
from napari_vrp_sam.training.metrics import iou


@pytest.fixture
def frames_and_masks() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two textures of equal mean, which filters but no threshold can separate."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((96, 96))
    masks = [((rows + shift) // 24 + columns // 24) % 2 == 0 for shift in (0, 11)]
    frames = []
    for mask in masks:
        noise = rng.normal(0, np.where(mask, 40, 5))
        frames.append((128 + noise).clip(0, 255).astype(np.uint8)[..., None])
    return frames, masks


def test_learns_a_texture(frames_and_masks: tuple[list, list]) -> None:
    frames, masks = frames_and_masks
    reference = Reference(frames[0], masks[0], frame=0)
    inverse = Reference(frames[0], ~masks[0], 2, frame=0)
    predicted = RandomForest(trees=10)(frames, [reference, inverse])(frames[1]).masks
    assert predicted.shape == (2, 96, 96)
    assert predicted.dtype == bool
    assert iou(predicted[0], masks[1]) > 0.7
    assert iou(predicted[1], ~masks[1]) > 0.7


def test_the_forest_has_the_documented_size_and_features(
    frames_and_masks: tuple[list, list],
) -> None:
    frames, masks = frames_and_masks
    baseline = RandomForest()
    forest = baseline.fit([Reference(frames[0], masks[0])])
    assert len(forest.estimators_) == 100
    assert forest.max_depth == 20
    # Sigma 1, 2, 4, 8, 16, each with intensity, gradient and two Hessian eigenvalues.
    assert baseline.features(frames[0]).shape == (96, 96, 20)


def test_the_number_of_training_pixels_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_vrp_sam.research.protocols import random_forest

    monkeypatch.setattr(random_forest, "MAX_FOREGROUND", 30)
    monkeypatch.setattr(random_forest, "MAX_BACKGROUND", 70)
    mask = np.zeros((32, 32), bool)
    mask[:16] = True
    frame = np.where(mask, 200, 20).astype(np.uint8)
    forest = RandomForest(trees=1).fit([Reference(frame, mask)])
    assert forest.estimators_[0].tree_.weighted_n_node_samples[0] == 100


def test_references_of_a_class_train_one_forest() -> None:
    """The class is dark in the first reference and bright in the second."""
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
