import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import label as connected_components

from napari_vrp_sam.annotations.reference import ANNOTATION_KINDS
from napari_vrp_sam.annotations.simulate import MAX_MARKS, simulate_annotation
from napari_vrp_sam.errors import InputError

masks = arrays(bool, st.tuples(st.integers(16, 40), st.integers(16, 40))).filter(np.any)
kinds = st.sampled_from(ANNOTATION_KINDS)
seeds = st.integers(0, 2**32)


@pytest.fixture
def object_mask():
    mask = np.zeros((256, 320), dtype=bool)
    mask[40:200, 60:240] = True
    return mask


@given(masks, kinds, seeds)
@settings(max_examples=50)
def test_annotations_are_not_empty_and_depend_on_the_seed_only(mask, kind, seed):
    annotation = simulate_annotation(mask, kind, np.random.default_rng(seed))
    assert annotation.dtype == np.float32
    assert annotation.shape == mask.shape
    assert annotation.any()
    assert set(np.unique(annotation)) <= {0, 1}
    np.testing.assert_array_equal(
        annotation, simulate_annotation(mask, kind, np.random.default_rng(seed))
    )


@given(masks, st.sampled_from(["point", "scribble", "mask"]), seeds)
@settings(max_examples=50)
def test_only_boxes_exceed_the_foreground(mask, kind, seed):
    assert not simulate_annotation(mask, kind, np.random.default_rng(seed))[~mask].any()


@given(masks, seeds)
def test_the_box_is_tight_and_filled(mask, seed):
    box = simulate_annotation(mask, "box", np.random.default_rng(seed))
    marked = np.argwhere(mask)
    (top, left), (bottom, right) = marked.min(axis=0), marked.max(axis=0)
    assert box.sum() == box[top : bottom + 1, left : right + 1].size
    assert box[mask].all()
    assert box[top : bottom + 1, left : right + 1].all()


def test_boxes_around_each_object_except_small_ones():
    mask = np.zeros((64, 64), dtype=bool)
    mask[4:20, 4:20] = np.tri(16, dtype=bool)
    mask[30:40, 30:50] = True
    mask[60, 60] = True
    drawn = np.zeros((64, 64))
    drawn[4:20, 4:20] = drawn[30:40, 30:50] = 1
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(simulate_annotation(mask, "box", rng, each=True), drawn)


def test_the_mask_is_not_changed(object_mask):
    annotation = simulate_annotation(object_mask, "mask", np.random.default_rng(0))
    np.testing.assert_array_equal(annotation, object_mask)


def test_the_default_number_of_points(object_mask):
    points = simulate_annotation(object_mask, "point", np.random.default_rng(0), radius=0)
    assert points.sum() == MAX_MARKS
    brushed = simulate_annotation(object_mask, "point", np.random.default_rng(0))
    assert brushed[points > 0].all()
    assert brushed.sum() > points.sum()


def test_a_small_object_gets_a_point_in_each_pixel():
    mask = np.zeros((32, 32))
    mask[4, 4:7] = 1
    np.testing.assert_array_equal(
        simulate_annotation(mask, "point", np.random.default_rng(0)), mask
    )


def test_the_number_of_points_is_drawn_from_1_to_20(object_mask):
    rng = np.random.default_rng(0)
    counts = {
        int(simulate_annotation(object_mask, "point", rng, count=None, radius=0).sum())
        for _ in range(300)
    }
    assert counts == set(range(1, MAX_MARKS + 1))


def test_strokes_are_thin_curves(object_mask):
    rng = np.random.default_rng(0)
    strokes = [
        simulate_annotation(np.ones((512, 512)), "scribble", rng, count=1) for _ in range(20)
    ]
    for stroke in strokes:
        assert connected_components(stroke).max() == 1
        assert 100 < stroke.sum() < 10 * 30 * 41
    many = simulate_annotation(object_mask, "scribble", rng)
    assert stroke.sum() < many.sum() < object_mask.sum()


def test_annotations_differ_between_seeds(object_mask):
    for kind in ("point", "scribble"):
        one, two = (
            simulate_annotation(object_mask, kind, np.random.default_rng(s)) for s in (1, 2)
        )
        assert (one != two).any()


@pytest.mark.parametrize("mask", [np.zeros((32, 32)), np.ones(32), np.full((32, 32), 0.4)])
def test_a_mask_without_foreground_is_refused(mask):
    with pytest.raises(InputError, match="foreground"):
        simulate_annotation(mask, "point", np.random.default_rng(0))


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="'lasso'"):
        simulate_annotation(np.ones((32, 32)), "lasso", np.random.default_rng(0))
