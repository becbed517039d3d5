from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_vrp_sam.inference.prediction.confidence import (
    IOU_PER_AGREEMENT,
    expected_ious,
    frame_confidence,
    least_confident,
)
from napari_vrp_sam.inference.prediction.outputs import confidences


def test_agreement_of_mask_and_probabilities_by_hand() -> None:
    probabilities = np.zeros((3, 4, 5), np.float32)
    probabilities[0, :2] = 1.0  # certain
    probabilities[1, :2], probabilities[1, 2] = 0.8, 0.4
    expected = [1.0, 10 * 0.8 / (10 + 5 * 0.4)]
    found = confidences(torch.from_numpy(probabilities)[None])[0].numpy()
    np.testing.assert_allclose(found[:2], np.multiply(IOU_PER_AGREEMENT, expected), rtol=1e-6)
    assert np.isnan(found[2])


def test_is_the_iou_where_probabilities_are_right() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.beta(0.4, 0.8, (1, 400, 400))
    truth = rng.random((400, 400)) < probabilities[0]
    found = probabilities[0] > 0.5
    iou = (truth & found).sum() / (truth | found).sum()
    confidence = confidences(torch.from_numpy(probabilities)[None])
    assert float(confidence) == pytest.approx(IOU_PER_AGREEMENT * iou, rel=0.01)


def test_confidence_of_a_frame_is_the_mean_of_its_classes() -> None:
    assert frame_confidence([0.5, float("nan"), 0.7]) == pytest.approx(0.6)
    assert frame_confidence([float("nan")]) is None
    assert frame_confidence([]) is None


def test_the_expected_iou_after_a_run() -> None:
    frames = {0: {1: 0.9, 2: 0.8}, 1: {1: 0.7}, 2: {1: 0.5, 3: 0.3}, 3: {}}
    held_out = {1: 0.2, 2: 0.6, 3: None, 4: None}
    expected = expected_ious(held_out, frames, annotated=[0, 2])
    assert expected == {1: 0.7, 2: 0.6, 3: 0.3, 4: None}
    assert expected_ious(held_out, {}) == held_out


def test_the_least_confident_frame() -> None:
    assert least_confident({3: 0.5, 1: 0.25, 7: 0.9}) == (1, 0.25)
    assert least_confident({}) is None
