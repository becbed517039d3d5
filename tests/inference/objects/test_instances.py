from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage import measure

from napari_vrp_sam.inference.objects.cleaning import smooth_outlines
from napari_vrp_sam.inference.objects.instances import split_instances, typical_sizes
from napari_vrp_sam.inference.objects.settings import ObjectSettings

WHOLE = ObjectSettings(split_strength=0, min_size=0)


def disc(frame, row, column, radius, value=1):
    rows, columns = np.indices(frame.shape)
    frame[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = value


@pytest.mark.parametrize("radius", [5, 12, 30])
def test_touching_discs_are_split_at_their_neck(radius):
    frame = np.zeros((2 * radius + 9, 4 * radius + 9), np.uint8)
    left, right = radius + 4, int(2.6 * radius) + 4
    disc(frame, radius + 4, left, radius)
    disc(frame, radius + 4, right, radius)
    found = split_instances(frame)
    assert found.labels.max() == 2
    areas = np.bincount(found.labels.ravel())[1:]
    assert areas.min() > 0.9 * areas.max()
    assert found.labels[radius + 4, left] != found.labels[radius + 4, right]
    assert split_instances(frame, WHOLE).labels.max() == 1


@pytest.mark.parametrize("radius", [3, 12])
def test_an_object_without_a_neck_stays_whole(radius):
    rows, columns = np.indices((80, 80))
    ellipse = ((rows - 40) / (3 * radius)) ** 2 + ((columns - 40) / radius) ** 2 <= 1
    bar = np.zeros((80, 80), bool)
    bar[10:70, 40 - radius : 40 + radius] = True
    slanted = (np.abs(rows - columns) < radius) & (rows + columns > 30) & (rows + columns < 130)
    for shape in (ellipse, bar, slanted):
        assert split_instances(shape).labels.max() == 1


def test_classes_are_separated_and_kept():
    frame = np.zeros((20, 30), np.uint8)
    frame[2:8, 2:8] = 7
    frame[2:8, 8:14] = 3  # touches class 7
    frame[12:18, 2:8] = 7
    found = split_instances(frame)
    assert found.classes.tolist() == [0, 7, 3, 7]
    np.testing.assert_array_equal(found.classes[found.labels], frame)


def test_small_objects_are_left_out_and_ids_stay_without_gaps():
    frame = np.zeros((20, 20), np.uint8)
    frame[1, 1:4] = 1
    frame[5:10, 5:10] = 1
    found = split_instances(frame, ObjectSettings(min_size=4))
    assert np.unique(found.labels).tolist() == [0, 1]
    assert (found.labels > 0).sum() == 25
    assert split_instances(frame, ObjectSettings(min_size=26)).labels.max() == 0


def test_an_empty_frame_has_no_objects():
    found = split_instances(np.zeros((16, 16), np.uint8))
    assert not found.labels.any()
    assert found.classes.tolist() == [0]


frames = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24),
    elements=st.integers(0, 3),
)


@settings(max_examples=60, deadline=None)
@given(frames, st.floats(0, 1))
def test_instances_cover_exactly_their_class(frame, strength):
    unchanged = ObjectSettings(split_strength=strength, min_size=0, fill_holes=False)
    found = split_instances(frame, unchanged)
    np.testing.assert_array_equal(found.classes[found.labels], frame)
    assert np.unique(found.labels[found.labels > 0]).tolist() == list(range(1, len(found.classes)))
    np.testing.assert_array_equal(split_instances(frame, unchanged).labels, found.labels)


def ragged_cells():
    """Six cells of which two pairs touch, with ragged outlines, specks, and holes."""
    rng = np.random.default_rng(0)
    frame = np.zeros((120, 160), np.uint8)
    for row, column in ((25, 25), (25, 55), (25, 120), (85, 30), (85, 90), (85, 120)):
        disc(frame, row, column, 17)
    noise = ndimage.gaussian_filter(rng.standard_normal(frame.shape), 1)
    depth = ndimage.distance_transform_edt(frame) - ndimage.distance_transform_edt(frame == 0)
    frame = (depth + 1.5 * noise / noise.std() > 0).astype(np.uint8)
    frame[(rng.uniform(size=frame.shape) < 0.004) & (depth < -3)] = 1  # specks
    for row, column in ((20, 20), (28, 118), (82, 82)):
        disc(frame, row, column, 3, value=0)
    return frame


def test_defaults_find_touching_cells_in_a_ragged_mask():
    frame = ragged_cells()
    assert measure.label(frame, connectivity=2).max() > 20  # specks, and cells in two pairs
    found = split_instances(frame)
    assert len(found.classes) == 7
    for row, column in ((20, 20), (28, 118), (82, 82)):
        assert found.labels[row, column] == found.labels[row + 6, column] > 0  # holes are filled
    areas = np.bincount(found.labels.ravel())[1:]
    assert areas.min() > 0.75 * areas.max()


def test_a_hole_is_kept_without_fill_holes_or_if_it_is_large_or_has_another_class():
    frame = np.zeros((60, 60), np.uint8)
    disc(frame, 30, 30, 20)
    disc(frame, 30, 30, 4, value=0)
    assert split_instances(frame).labels[30, 30] == 1
    assert split_instances(frame, ObjectSettings(fill_holes=False)).labels[30, 30] == 0
    disc(frame, 30, 30, 4, value=2)
    found = split_instances(frame)
    assert found.classes[found.labels[30, 30]] == 2
    disc(frame, 30, 30, 15, value=0)  # a ring
    assert split_instances(frame).labels[30, 30] == 0


def test_a_gap_between_touching_cells_is_no_hole():
    frame = np.zeros((70, 70), np.uint8)
    for row, column in ((18, 18), (18, 49), (49, 18), (49, 49)):
        disc(frame, row, column, 16)
    found = split_instances(frame)
    assert len(found.classes) == 5
    assert found.labels[33, 33] == 0


def test_the_minimum_size_follows_the_class():
    frame = np.zeros((60, 80), np.uint8)
    disc(frame, 20, 20, 15)
    disc(frame, 20, 60, 15)
    disc(frame, 50, 8, 2)  # a speck of class 1
    for column in (20, 30, 40, 50):
        disc(frame, 50, column, 2, value=2)
    assert split_instances(frame).classes.tolist() == [0, 1, 1, 2, 2, 2, 2]
    every = split_instances(frame, ObjectSettings(min_size=0))
    assert every.classes.tolist().count(1) == 3


def test_many_specks_do_not_hide_the_typical_object():
    frame = np.zeros((200, 200), np.uint8)
    for row, column in ((30, 30), (30, 100), (100, 30)):
        disc(frame, row, column, 15)
    frame[130::8, ::8] = 1  # hundreds of specks
    typical = typical_sizes([frame], ObjectSettings())
    assert typical[1] > 600
    assert len(split_instances(frame).classes) == 4


@pytest.mark.parametrize("seed", range(3))
def test_a_larger_split_strength_never_gives_fewer_objects(seed):
    rng = np.random.default_rng(seed)
    frame = ndimage.gaussian_filter(rng.standard_normal((150, 150)), 5) > 0
    whole = typical_sizes([frame], ObjectSettings())
    finer = None
    for strength in np.linspace(0, 1, 11):
        unchanged = ObjectSettings(split_strength=strength, min_size=0, fill_holes=False)
        found = split_instances(frame, unchanged, whole).labels
        if finer is not None:
            # Each object is within one object of the smaller strength.
            pairs = np.unique(np.stack([found.ravel(), finer.ravel()]), axis=1)
            assert pairs.shape[1] == found.max() + 1
        finer = found
    assert found.max() > 2 * measure.label(frame, connectivity=2).max()


def test_smoothing_loses_no_object_and_evens_outlines():
    frame = ragged_cells()
    frame[60, 20:60] = 1  # one pixel wide
    given = ObjectSettings(min_size=0)
    rough = split_instances(frame, given)
    smooth = split_instances(frame, replace(given, smoothing=3))
    assert smooth.classes.tolist() == rough.classes.tolist()
    assert np.unique(smooth.labels).tolist() == np.unique(rough.labels).tolist()
    assert smooth.labels[60, 40] > 0
    perimeters = [
        sum(one.perimeter for one in measure.regionprops(found.labels) if one.area > 200)
        for found in (rough, smooth)
    ]
    assert perimeters[1] < 0.9 * perimeters[0]


@settings(max_examples=40, deadline=None)
@given(frames, st.floats(0.3, 4))
def test_smoothed_objects_keep_their_ids(frame, sigma):
    rough = split_instances(frame, ObjectSettings(min_size=0, split_strength=0))
    smooth = smooth_outlines(rough.labels, sigma)
    assert np.unique(smooth[smooth > 0]).tolist() == list(range(1, len(rough.classes)))
