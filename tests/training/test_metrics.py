from __future__ import annotations

import numpy as np
import pytest

from napari_vrp_sam.training.metrics import calibration_error, iou


def test_iou() -> None:
    ground_truth = np.zeros((4, 4), bool)
    ground_truth[:2] = True
    prediction = np.zeros((4, 4), bool)
    prediction[1:3] = True
    assert iou(prediction, ground_truth) == pytest.approx(4 / 12)
    assert iou(ground_truth, ground_truth) == 1
    assert iou(~ground_truth, ground_truth) == 0


def test_ignored_pixels_are_excluded() -> None:
    ground_truth = np.eye(4, dtype=bool)
    assert iou(np.ones((4, 4), bool), ground_truth, ignored=~ground_truth) == 1


def test_the_iou_of_empty_masks_is_undefined() -> None:
    empty = np.zeros((4, 4), bool)
    assert np.isnan(iou(empty, empty))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        iou(np.zeros((4, 1), bool), np.zeros((4, 4), bool))


def test_calibration_error() -> None:
    # Two bins: expected 0.3 but 0.5 on average, three times; expected 0.9 and got 0.9.
    pairs = [(0.3, 0.4), (0.3, 0.6), (0.3, 0.5), (0.9, 0.9)]
    assert calibration_error(pairs) == pytest.approx(0.75 * 0.2)
    assert calibration_error([(1.0, 0.5), (0.0, 0.5)]) == pytest.approx(0.5)
    assert calibration_error([]) is None


def test_scores_of_the_same_tenth_make_up_for_each_other() -> None:
    pair = [(0.41, 0.45), (0.49, 0.45)]
    assert calibration_error(pair) == pytest.approx(0)
    assert calibration_error(pair, bins=20) == pytest.approx(0.04)
    assert calibration_error([(0.85, 0.9), (0.95, 0.9)]) == pytest.approx(0.05)
    # The highest score belongs to the last tenth.
    assert calibration_error([(1.0, 0.9), (0.92, 1.02)]) == pytest.approx(0)
