from __future__ import annotations

import numpy as np
import pytest

from napari_vrp_sam.evaluation.metrics import iou


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
