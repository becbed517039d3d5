from __future__ import annotations

import numpy as np
import pytest

from napari_vrp_sam.research.protocols.metrics import calibration_error, iou


def test_iou() -> None:
    truth = np.zeros((4, 4), bool)
    truth[:2] = True
    prediction = np.zeros((4, 4), bool)
    prediction[1:3] = True
    assert iou(prediction, truth) == pytest.approx(4 / 12)
    assert iou(truth, truth) == 1
    assert iou(~truth, truth) == 0


def test_ignored_pixels_count_nowhere() -> None:
    truth = np.eye(4, dtype=bool)
    assert iou(np.ones((4, 4), bool), truth, ignored=~truth) == 1


def test_nothing_over_nothing_is_undefined() -> None:
    empty = np.zeros((4, 4), bool)
    assert np.isnan(iou(empty, empty))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        iou(np.zeros((4, 1), bool), np.zeros((4, 4), bool))


def test_calibration_error_by_hand() -> None:
    # Two bins: 0.3 expected where 0.5 came, three times; 0.9 expected where 0.9 came.
    pairs = [(0.3, 0.4), (0.3, 0.6), (0.3, 0.5), (0.9, 0.9)]
    assert calibration_error(pairs) == pytest.approx(0.75 * 0.2)
    assert calibration_error([(1.0, 0.5), (0.0, 0.5)]) == pytest.approx(0.5)
    assert calibration_error([]) is None
