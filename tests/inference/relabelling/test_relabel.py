import json

import numpy as np
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.relabelling.cleaning import clean_classes
from napari_vrp_sam.inference.relabelling.levels import quantise
from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings, relabel_frame


def relabelled(found, class_ids=(1, 2), **settings):
    thresholds = settings.pop("thresholds", {})
    levels = quantise(np.asarray(found, np.float32))
    return relabel_frame(levels, class_ids, RelabelSettings(thresholds, **settings))


def test_each_class_has_its_own_threshold():
    found = np.array([[[0.7, 0.65, 0.3, 0.3]], [[0.2, 0.6, 0.35, 0.1]]])
    assert relabelled(found).tolist() == [[1, 1, 0, 0]]
    assert relabelled(found, thresholds={2: 0.2}).tolist() == [[1, 1, 2, 0]]
    # Without class 1, its pixels go to class 2 where that is above its own threshold.
    assert relabelled(found, thresholds={1: 0.8}).tolist() == [[0, 2, 0, 0]]


def test_small_regions_are_removed_before_holes_are_filled():
    labels = np.zeros((20, 20), np.uint8)
    labels[2:12, 2:12] = 1
    labels[5:7, 5:7] = 2  # a speck inside class 1
    labels[16, 16] = 1
    kept = labels.copy()
    np.testing.assert_array_equal(clean_classes(labels, fill_holes_of_classes=True), kept)
    cleaned = clean_classes(labels, min_size=5, fill_holes_of_classes=True)
    expected = np.zeros_like(labels)
    expected[2:12, 2:12] = 1
    np.testing.assert_array_equal(cleaned, expected)
    np.testing.assert_array_equal(labels, kept)  # not changed in place


def test_regions_that_share_a_corner_are_one():
    labels = np.eye(6, dtype=np.uint8)
    np.testing.assert_array_equal(clean_classes(labels, min_size=6), labels)
    assert not clean_classes(labels, min_size=7).any()


def test_smoothing_removes_noise_and_keeps_the_size():
    truth = np.zeros((64, 64), bool)
    truth[16:48, 16:48] = True
    rng = np.random.default_rng(0)
    found = np.where(truth, 0.7, 0.3) + rng.normal(0, 0.2, truth.shape)
    found = found.clip(0, 1)[None]
    rough, smooth = (relabelled(found, (1,), smoothing=sigma) > 0 for sigma in (0, 1.5))

    def iou(mask):
        return (mask & truth).sum() / (mask | truth).sum()

    assert iou(rough) < 0.8 < 0.95 < iou(smooth)
    assert abs(int(smooth.sum()) - int(truth.sum())) < 0.02 * truth.sum()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"threshold": 1.0}, "between 0 and 1"),
        ({"threshold": {5: 0.4}}, "no class 5: give thresholds of the classes 1, 2"),
        ({"threshold": 0.5, "min_size": -1}, "0 or more"),
        ({"threshold": 0.5, "smoothing": -0.1}, "from 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, problem):
    with pytest.raises(InputError, match=problem):
        RelabelSettings.of(settings.pop("threshold"), (1, 2), **settings)


@pytest.mark.parametrize("clean_up", [{}, {"min_size": 4, "fill_holes": True, "smoothing": 1.5}])
def test_stored_settings_are_the_identity(clean_up):
    settings = RelabelSettings({2: 0.3}, **clean_up)
    assert RelabelSettings.from_dict(json.loads(json.dumps(settings.as_dict()))) == settings
    assert settings.pixelwise != bool(clean_up)
