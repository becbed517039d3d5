"""What is known of annotated frames, and what is held out."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.data.annotated_frames import (
    annotated_frames,
    make_folds,
    crop_to_annotation,
)
from napari_vrp_sam.inference.normalisation import Normalisation

BYTES = Normalisation((0.0,), (255.0,))
IMAGE = np.zeros((80, 120), np.uint8)


def mask(rows: slice, columns: slice) -> np.ndarray:
    marked = np.zeros(IMAGE.shape, np.float32)
    marked[rows, columns] = 1
    return marked


LEFT, RIGHT = mask(slice(10, 30), slice(10, 30)), mask(slice(40, 60), slice(90, 110))


def frames_of(*references: Reference):
    return annotated_frames(references, BYTES)


def test_around_masks_is_background_around_scribbles_nobody_knows():
    (frame,) = frames_of(
        Reference(IMAGE, LEFT, 1, "mask", 0), Reference(IMAGE, RIGHT, 2, "scribble", 0)
    )
    assert frame.image.shape == (3, 80, 120)
    dense, sparse = frame.marks[1].ground_truth, frame.marks[2].ground_truth
    np.testing.assert_array_equal(dense, LEFT)
    assert (sparse[RIGHT > 0] == 1).all()
    assert (sparse[LEFT > 0] == 0).all()  # it is the other class
    assert (sparse[(LEFT == 0) & (RIGHT == 0)] == 255).all()


def test_ignored_and_disputed_pixels_teach_nothing():
    ignored = np.zeros(IMAGE.shape, bool)
    ignored[:5] = True
    overlapping = mask(slice(28, 50), slice(28, 50))
    (frame,) = frames_of(
        Reference(IMAGE, LEFT, 1, "mask", 0, ignored), Reference(IMAGE, overlapping, 2, "mask", 0)
    )
    assert (frame.marks[1].ground_truth[:5] == 255).all()
    assert (frame.marks[1].ground_truth[28:30, 28:30] == 255).all()
    assert (frame.marks[2].ground_truth[28:30, 28:30] == 255).all()
    assert (frame.marks[2].ground_truth[30:50, 30:50] == 1).all()


def test_of_a_box_the_middle_is_the_class_and_the_corners_are_unknown():
    (frame,) = frames_of(Reference(IMAGE, LEFT + RIGHT, 1, "box", 0))
    ground_truth = frame.marks[1].ground_truth
    assert (ground_truth[LEFT + RIGHT == 0] == 0).all()
    for corner in (
        ground_truth[10, 10],
        ground_truth[29, 29],
        ground_truth[40, 90],
        ground_truth[59, 109],
    ):
        assert corner == 255
    assert (ground_truth[15:25, 15:25] == 1).all()
    assert (ground_truth == 1).sum() == pytest.approx(2 * np.pi * 10**2, rel=0.02)


def test_faint_brushes_count():
    (frame,) = frames_of(Reference(IMAGE, 0.2 * LEFT, frame=0))
    np.testing.assert_array_equal(frame.marks[1].ground_truth, LEFT)


def test_each_frame_is_left_out_in_turn():
    both = LEFT + RIGHT
    references = [Reference(IMAGE + z, both, frame=z) for z in range(5)]
    folds = make_folds(frames_of(*references), 5)
    held = [round(255 * float(fold.held_out.image.max())) for fold in folds]
    assert held == [0, 1, 2, 3, 4]
    for fold, left_out in zip(folds, held, strict=True):
        learned = {round(255 * float(frame.image.max())) for frame in fold.learned}
        assert learned == set(range(5)) - {left_out}
    assert len(make_folds(frames_of(*references), 2)) == 2


def test_a_single_frame_is_cut_so_that_both_sides_show_the_class():
    folds = make_folds(frames_of(Reference(IMAGE, LEFT + RIGHT, frame=0)), 2)
    assert len(folds) == 2
    for fold in folds:
        (learned,) = fold.learned
        assert learned.shape[1] + fold.held_out.shape[1] == 120  # across the longer way
        assert learned.informative == fold.held_out.informative == {1}
    assert folds[0].learned[0] is folds[1].held_out


def test_it_is_cut_the_other_way_where_that_serves_more_classes():
    # The first way, across the longer direction of both together, would part them.
    first, second = mask(slice(5, 75), slice(0, 20)), mask(slice(5, 75), slice(100, 120))
    (frame,) = frames_of(
        Reference(IMAGE, first, 1, "mask", 0), Reference(IMAGE, second, 2, "mask", 0)
    )
    fold, _ = make_folds([frame], 2)
    assert fold.class_ids == (1, 2)
    assert fold.held_out.shape[1] == 120


def test_classes_that_one_frame_alone_shows_are_not_asked_for():
    frames = frames_of(
        Reference(IMAGE, LEFT, 1, "mask", 0),
        Reference(IMAGE, LEFT, 1, "mask", 1),
        Reference(IMAGE, RIGHT, 2, "mask", 1),
    )
    assert [fold.class_ids for fold in make_folds(frames, 2)] == [(1,), (1,)]


def test_frames_are_cut_where_each_shows_a_class_of_its_own():
    own = mask(slice(10, 30), slice(30, 90))
    frames = frames_of(Reference(IMAGE, own, 1, "mask", 0), Reference(IMAGE, own, 2, "mask", 1))
    fold, other = make_folds(frames, 2)
    assert (fold.class_ids, other.class_ids) == ((1,), (2,))
    # What is not cut is learned from all the same.
    assert fold.learned[0] is frames[1]
    assert fold.learned[1].shape[1] + fold.held_out.shape[1] == 120


@pytest.mark.parametrize(
    ("image", "marked"),
    [
        (np.zeros((40, 40), np.uint8), np.eye(40, dtype=np.float32)),  # halves would show nothing
        (IMAGE, mask(slice(10, 11), slice(10, 11))),
    ],
)
def test_too_little_is_told(image, marked):
    with pytest.raises(InputError, match="Too little is annotated to hold out a part"):
        make_folds(frames_of(Reference(image, marked, frame=0)), 2)


def test_of_a_large_frame_the_part_with_most_of_the_class_counts():
    (frame,) = frames_of(Reference(IMAGE, RIGHT, frame=0))
    part = crop_to_annotation(frame, 64)
    assert part.shape == (64, 64)
    assert (part.marks[1].ground_truth == 1).sum() == RIGHT.sum()
    assert crop_to_annotation(frame, 200).shape == frame.shape
