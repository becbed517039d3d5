"""Results of frames that are too large for the memory equal those computed in memory."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vrp_sam.inference.out_of_core import scratch
from napari_vrp_sam.inference.out_of_core.scratch import ScratchArray
from napari_vrp_sam.inference.prediction.tiles.large_frames import (
    predict_from_any_probabilities,
    probabilities_of,
)


def stored(values):
    array = ScratchArray(values.shape, values.dtype)
    array[:] = values
    return array


@pytest.mark.parametrize("best_threshold", [False, True])
def test_windows_change_no_result(monkeypatch, best_threshold):
    monkeypatch.setattr(scratch, "ROW_BYTES", 4000)
    logits = np.random.default_rng(0).normal(-1, 2, (2, 90, 70)).astype(np.float32)
    logits[1] -= 3  # a rare class, whose best threshold is another one
    expected = probabilities_of(logits.copy(), best_threshold=best_threshold)
    large = probabilities_of(stored(logits), best_threshold=best_threshold)
    assert isinstance(large, ScratchArray)
    np.testing.assert_allclose(np.asarray(large), expected, atol=1e-5)

    whole = predict_from_any_probabilities(expected, (3, 8))
    found = predict_from_any_probabilities(stored(expected), (3, 8))
    assert isinstance(found.labels, ScratchArray)
    np.testing.assert_array_equal(np.asarray(found.labels), whole.labels)
    assert set(np.unique(whole.labels)) >= {0, 3}
    assert found.confidence == pytest.approx(whole.confidence, rel=1e-5)
