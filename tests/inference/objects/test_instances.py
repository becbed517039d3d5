import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_vrp_sam.inference.objects.instances import split_instances


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
    assert split_instances(frame, split=False).labels.max() == 1


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
    found = split_instances(frame, min_size=4)
    assert np.unique(found.labels).tolist() == [0, 1]
    assert (found.labels > 0).sum() == 25
    assert split_instances(frame, min_size=26).labels.max() == 0


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
@given(frames, st.booleans())
def test_instances_cover_exactly_their_class(frame, split):
    found = split_instances(frame, split=split)
    np.testing.assert_array_equal(found.classes[found.labels], frame)
    assert np.unique(found.labels[found.labels > 0]).tolist() == list(range(1, len(found.classes)))
    np.testing.assert_array_equal(split_instances(frame, split=split).labels, found.labels)
