import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_vrp_sam.inference.prediction.outputs import predict_from_probabilities
from napari_vrp_sam.inference.relabelling.levels import (
    CompressedLevels,
    dequantise,
    quantise,
    threshold_level,
)
from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings, relabel_frame

NEAR = np.nextafter(np.float32(0.5), np.float32(1))
# Values that meet in one level, and on both sides of the threshold.
AWKWARD = [0.0, 1e-9, 0.25, 0.49999, 0.5, float(NEAR), 0.5001, 0.6001, 0.6002, 0.6003, 0.998, 1.0]
probabilities = arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.just(5), st.just(6)),
    elements=st.one_of(st.sampled_from(AWKWARD), st.floats(0, 1, width=32)).map(np.float32),
)


@settings(deadline=None)
@given(probabilities)
def test_default_settings_give_the_labels_of_the_run(found):
    class_ids = (3, 8, 9, 300)[: len(found)]
    expected = predict_from_probabilities(found, class_ids).labels
    labels = relabel_frame(quantise(found), class_ids, RelabelSettings())
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == expected.dtype


@settings(deadline=None)
@given(probabilities)
def test_stored_levels_can_be_exported_and_read_without_a_change(found):
    levels = quantise(found)
    np.testing.assert_array_equal(quantise(dequantise(levels)), levels)
    assert np.abs(dequantise(levels) - found).max() <= 5 / 256


@settings(deadline=None)
@given(probabilities)
def test_compression_is_lossless(found):
    levels = quantise(found)
    np.testing.assert_array_equal(CompressedLevels.of(levels).levels(), levels)


@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.5, 0.999])
def test_levels_above_a_threshold(threshold):
    values = np.linspace(0, 1, 10_001, dtype=np.float32)
    above = quantise(values.reshape(1, 1, -1))[0, 0] > threshold_level(threshold)
    assert np.abs(values[above].min() - threshold) < 1 / 256


def test_levels_of_a_realistic_map_are_small():
    rows, columns = np.indices((512, 512))
    logits = 12 - np.abs(np.hypot(rows - 250, columns - 260) - 120)
    noise = np.random.default_rng(0).normal(0, 0.5, logits.shape)
    found = torch.from_numpy(logits + noise).sigmoid().float().numpy()[None]
    assert CompressedLevels.of(quantise(found)).nbytes < found.nbytes / 15
