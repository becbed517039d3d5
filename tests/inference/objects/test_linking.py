import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_vrp_sam.inference.objects.instances import split_instances
from napari_vrp_sam.inference.objects.linking import link, link_stack
from napari_vrp_sam.inference.objects.settings import ObjectSettings

WHOLE = ObjectSettings(split_strength=0, min_size=0)


def split(stack):
    """Objects of each frame as `link` takes them: an array to work in, and their classes."""
    found = [split_instances(frame, WHOLE) for frame in stack]
    return np.stack([f.labels for f in found]).astype(np.uint32), [f.classes for f in found]


def square(stack, frame, row, column, side=8, value=1):
    stack[frame, row : row + side, column : column + side] = value


def empty(frames, shape=(40, 60)):
    return np.zeros((frames, *shape), np.uint8)


def test_drifting_objects_keep_their_ids():
    stack = empty(6)
    for t in range(6):
        square(stack, t, 2 + 3 * t, 5)
        square(stack, t, 28 - 4 * t, 40)  # overtakes the other: numbers on the frames swap
    labels, classes = split(stack)
    known = link(labels, classes)
    assert known.classes.tolist() == [0, 1, 1]
    for t in range(6):
        assert labels[t, 3 + 3 * t, 6] == labels[0, 3, 6]
        assert labels[t, 29 - 4 * t, 41] == labels[0, 29, 41]


def test_each_object_is_linked_to_its_best_partner():
    stack = empty(2)
    square(stack, 0, 4, 10)
    square(stack, 0, 4, 24)
    square(stack, 1, 4, 16)  # touches both: 2 columns of the first are shared, none of the second
    square(stack, 1, 4, 27)
    labels, classes = split(stack)
    link(labels, classes)
    assert np.unique(labels[0]).tolist() == [0, 1, 2]
    assert labels[1, 5, 17] == 1
    assert labels[1, 5, 28] == 2


def test_objects_with_little_overlap_are_not_linked():
    stack = empty(2)
    square(stack, 0, 4, 10)
    square(stack, 1, 4, 17)  # an eighth
    labels, classes = split(stack)
    assert link(labels, classes).classes.tolist() == [0, 1, 1]
    assert labels[1].max() == 2


def test_classes_never_mix():
    stack = empty(2)
    square(stack, 0, 4, 10, value=1)
    square(stack, 1, 4, 10, value=2)
    labels, classes = split(stack)
    assert link(labels, classes).classes.tolist() == [0, 1, 2]


@pytest.fixture
def dividing():
    """An object that becomes two on frame 2, beside one that does not."""
    stack = empty(4)
    for t in range(4):
        square(stack, t, 28, 5)
        if t < 2:
            stack[t, 10:18, 20:40] = 1
        else:
            square(stack, t, 10, 19 - t)
            square(stack, t, 10, 33 + t)
    return stack


def test_a_division_has_a_parent_and_two_new_ids(dividing):
    labels, classes = split(dividing)
    known = link(labels, classes, divisions=True)
    parent, other = labels[0, 12, 30], labels[0, 30, 7]
    daughters = labels[2, 12, 18], labels[2, 12, 37]
    assert len({parent, other, *daughters}) == len(known.classes) - 1 == 4
    assert known.parents[list(daughters)].tolist() == [parent, parent]
    assert not known.parents[[parent, other]].any()
    assert (labels[3, 12, 17], labels[3, 12, 38]) == daughters
    assert labels[3, 30, 7] == other


def test_without_divisions_one_daughter_keeps_the_id(dividing):
    labels, classes = split(dividing)
    known = link(labels, classes)
    assert not known.parents.any()
    parent = labels[0, 12, 30]
    assert sorted([labels[2, 12, 18] == parent, labels[2, 12, 37] == parent]) == [False, True]


def test_a_fragment_is_not_a_daughter():
    stack = empty(2)
    stack[0, 10:18, 20:40] = 1
    stack[1, 10:18, 20:34] = 1
    stack[1, 10:18, 36:40] = 1
    labels, classes = split(stack)
    known = link(labels, classes, divisions=True)
    assert not known.parents.any()
    assert labels[1, 12, 25] == labels[0, 12, 25]


@pytest.mark.parametrize(("missing", "ids"), [(1, 1), (2, 2)])
def test_one_missing_frame_is_bridged(missing, ids):
    stack = empty(6)
    for t in range(6):
        if not 2 <= t < 2 + missing:
            square(stack, t, 4 + t, 10)
    labels, classes = split(stack)
    known = link(labels.copy(), classes, bridge=True)
    assert len(known.classes) - 1 == ids
    assert len(link(labels, classes).classes) - 1 == 2


def balls(times, shape=(12, 40, 60)):
    """Two balls that drift through time, TZYX."""
    z, y, x = np.indices(shape)
    stack = np.zeros((times, *shape), np.uint8)
    for t in range(times):
        for row, column in ((10 + 2 * t, 12), (20, 44 - 3 * t)):
            stack[t][(z - 6) ** 2 * 4 + (y - row) ** 2 + (x - column) ** 2 <= 81] = 1
    return stack


def linked(stack, axes):
    found = [split_instances(f, WHOLE) for f in stack.reshape(-1, *stack.shape[-2:])]
    labels = np.stack([f.labels for f in found]).astype(np.uint32).reshape(stack.shape)
    return labels, link_stack(labels, [f.classes for f in found], axes)


def test_a_ball_is_one_object_through_z():
    (stack,) = balls(1)
    labels, known = linked(stack, "ZYX")
    assert known.classes.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(labels > 0, stack > 0)
    assert np.unique(labels[:, :, :28]).tolist() == [0, 1]


def test_objects_behind_each_other_stay_apart():
    stack = empty(7)
    square(stack, slice(0, 3), 4, 10)
    square(stack, slice(4, 7), 4, 10)
    assert linked(stack, "ZYX")[1].classes.tolist() == [0, 1, 1]


def test_balls_keep_their_ids_through_time_in_any_order_of_axes():
    stack = balls(4)
    labels, known = linked(stack, "TZYX")
    assert known.classes.tolist() == [0, 1, 1]
    for t in range(4):
        assert np.unique(labels[t, :, 10 + 2 * t, 12]).tolist() == [0, labels[0, 6, 10, 12]]
    swapped, _ = linked(np.ascontiguousarray(stack.swapaxes(0, 1)), "ZTYX")
    np.testing.assert_array_equal(swapped.swapaxes(0, 1), labels)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans(), st.floats(0.2, 0.7))
def test_no_two_objects_of_a_frame_become_one(seed, divisions, bridge, share):
    random = np.random.default_rng(seed)
    blocks = random.random((5, 6, 6)) < share
    stack = (blocks * random.integers(1, 3, blocks.shape)).repeat(3, axis=1).repeat(3, axis=2)
    labels, classes = split(stack)
    before = labels.copy()
    known = link(labels, classes, divisions=divisions, bridge=bridge)
    for frame, frame_before, frame_classes in zip(labels, before, classes, strict=True):
        pairs = np.unique(np.stack([frame.ravel(), frame_before.ravel()]), axis=1)
        # One to one, background on background.
        assert len(pairs[0]) == len(set(pairs[0])) == len(set(pairs[1]))
        np.testing.assert_array_equal(known.classes[pairs[0]], frame_classes[pairs[1]])
    assert np.unique(labels[labels > 0]).tolist() == list(range(1, len(known.classes)))
    daughters = np.bincount(known.parents)[1:]
    assert set(daughters.tolist()) <= {0, 2}
    assert (known.parents < np.arange(len(known.parents)).clip(1)).all()
    assert divisions or not known.parents.any()
