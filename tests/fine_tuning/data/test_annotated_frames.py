"""Ground truth of annotated frames, and the hold-out split."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.data.annotated_frames import (
    annotated_frames,
    crop_to_annotation,
    make_folds,
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


def test_pixels_around_masks_are_background_and_around_scribbles_unknown():
    (frame,) = frames_of(
        Reference(IMAGE, LEFT, 1, "mask", 0), Reference(IMAGE, RIGHT, 2, "scribble", 0)
    )
    assert frame.image.shape == (3, 80, 120)
    dense, sparse = (frame.annotations[class_id].ground_truth for class_id in (1, 2))
    np.testing.assert_array_equal(dense, LEFT)
    assert (sparse[RIGHT > 0] == 1).all()
    assert (sparse[LEFT > 0] == 0).all()  # the other class
    assert (sparse[(LEFT == 0) & (RIGHT == 0)] == 255).all()


def test_pixels_marked_as_background_are_known_around_scribbles():
    (frame,) = frames_of(Reference(IMAGE, LEFT, 1, "scribble", 0, negative=RIGHT > 0))
    ground_truth = frame.annotations[1].ground_truth
    assert (ground_truth[LEFT > 0] == 1).all()
    assert (ground_truth[RIGHT > 0] == 0).all()
    assert (ground_truth[(LEFT == 0) & (RIGHT == 0)] == 255).all()


def test_ignored_and_disputed_pixels_are_unknown():
    ignored = np.zeros(IMAGE.shape, bool)
    ignored[:5] = True
    overlapping = mask(slice(28, 50), slice(28, 50))
    (frame,) = frames_of(
        Reference(IMAGE, LEFT, 1, "mask", 0, ignored), Reference(IMAGE, overlapping, 2, "mask", 0)
    )
    first, second = (frame.annotations[class_id].ground_truth for class_id in (1, 2))
    assert (first[:5] == 255).all()
    assert (first[28:30, 28:30] == 255).all()
    assert (second[28:30, 28:30] == 255).all()
    assert (second[30:50, 30:50] == 1).all()


def test_corners_of_boxes_are_unknown():
    (frame,) = frames_of(Reference(IMAGE, LEFT + RIGHT, 1, "box", 0))
    ground_truth = frame.annotations[1].ground_truth
    assert (ground_truth[LEFT + RIGHT == 0] == 0).all()
    for corner in ((10, 10), (29, 29), (40, 90), (59, 109)):
        assert ground_truth[corner] == 255
    assert (ground_truth[15:25, 15:25] == 1).all()
    assert (ground_truth == 1).sum() == pytest.approx(2 * np.pi * 10**2, rel=0.02)


def test_faint_masks_count():
    (frame,) = frames_of(Reference(IMAGE, 0.2 * LEFT, frame=0))
    np.testing.assert_array_equal(frame.annotations[1].ground_truth, LEFT)


def test_each_frame_is_held_out_in_turn():
    both = LEFT + RIGHT
    references = [Reference(IMAGE + z, both, frame=z) for z in range(5)]
    folds = make_folds(frames_of(*references), 5)
    held_out = [round(255 * float(fold.held_out.image.max())) for fold in folds]
    assert held_out == [0, 1, 2, 3, 4]
    for fold, left_out in zip(folds, held_out, strict=True):
        training = {round(255 * float(frame.image.max())) for frame in fold.training}
        assert training == set(range(5)) - {left_out}
    assert len(make_folds(frames_of(*references), 2)) == 2


def test_single_frame_is_split_with_the_class_on_both_sides():
    folds = make_folds(frames_of(Reference(IMAGE, LEFT + RIGHT, frame=0)), 2)
    assert len(folds) == 2
    for fold in folds:
        (training,) = fold.training
        assert training.shape[1] + fold.held_out.shape[1] == 120  # across the longer direction
        assert training.informative_classes == fold.held_out.informative_classes == {1}
    assert folds[0].training[0] is folds[1].held_out


def test_frame_is_split_in_the_direction_that_keeps_more_classes():
    # A split across the longer direction would separate the two classes.
    first, second = mask(slice(5, 75), slice(0, 20)), mask(slice(5, 75), slice(100, 120))
    (frame,) = frames_of(
        Reference(IMAGE, first, 1, "mask", 0), Reference(IMAGE, second, 2, "mask", 0)
    )
    fold, _ = make_folds([frame], 2)
    assert fold.class_ids == (1, 2)
    assert fold.held_out.shape[1] == 120


def test_classes_on_one_frame_only_are_not_validated():
    frames = frames_of(
        Reference(IMAGE, LEFT, 1, "mask", 0),
        Reference(IMAGE, LEFT, 1, "mask", 1),
        Reference(IMAGE, RIGHT, 2, "mask", 1),
    )
    assert [fold.class_ids for fold in make_folds(frames, 2)] == [(1,), (1,)]


def test_frames_are_split_if_each_shows_another_class():
    marked = mask(slice(10, 30), slice(30, 90))
    frames = frames_of(
        Reference(IMAGE, marked, 1, "mask", 0), Reference(IMAGE, marked, 2, "mask", 1)
    )
    fold, other = make_folds(frames, 2)
    assert (fold.class_ids, other.class_ids) == ((1,), (2,))
    assert fold.training[0] is frames[1]  # the whole other frame
    assert fold.training[1].shape[1] + fold.held_out.shape[1] == 120


@pytest.mark.parametrize(
    ("image", "marked"),
    [
        (np.zeros((40, 40), np.uint8), np.eye(40, dtype=np.float32)),  # too small to be split
        (IMAGE, mask(slice(10, 11), slice(10, 11))),
    ],
)
def test_too_small_annotation_is_rejected(image, marked):
    with pytest.raises(InputError, match="The annotation is too small to hold out a part"):
        make_folds(frames_of(Reference(image, marked, frame=0)), 2)


def test_large_frame_is_cropped_to_most_of_the_class():
    (frame,) = frames_of(Reference(IMAGE, RIGHT, frame=0))
    cropped = crop_to_annotation(frame, 64)
    assert cropped.shape == (64, 64)
    assert (cropped.annotations[1].ground_truth == 1).sum() == RIGHT.sum()
    assert crop_to_annotation(frame, 200).shape == frame.shape
