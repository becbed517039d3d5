import numpy as np
import pytest

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.prediction.reference_crops import (
    ENOUGH,
    MAX_CROPS,
    check_images,
    crop_references,
)

LARGE = (900, 1100)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, LARGE, dtype=np.uint8)


def marked(*rectangles):
    mask = np.zeros(LARGE, np.float32)
    for rows, columns in rectangles:
        mask[rows, columns] = 1
    return mask


def test_references_that_fit_stay_as_they_are(image):
    references = [Reference(image, marked((slice(5), slice(5))), frame=3)]
    assert crop_references(references, 1100) == references
    small = Reference(image[:200, :300], np.ones((200, 300)), frame=1)
    mixed = crop_references([*references, small], 400)
    assert mixed[-1] is small


def test_a_crop_shows_the_marks_and_their_surroundings(image):
    mask = marked((slice(500, 540), slice(700, 760)))
    (part,) = crop_references([Reference(image, mask, class_id=4, frame=3)], 400)
    assert part.image.shape == (400, 400, 1)
    assert part.mask.sum() == mask.sum()
    rows, columns = np.nonzero(part.mask)
    assert 100 < rows.mean() < 300
    assert 100 < columns.mean() < 300
    assert (part.class_id, part.kind) == (4, "mask")
    # the mask has moved with the image
    np.testing.assert_array_equal(part.image[part.mask > 0, 0], image[mask > 0])


def test_parts_may_be_smaller_than_what_is_left_whole(image):
    mask = marked((slice(500, 540), slice(700, 760)))
    (part,) = crop_references([Reference(image, mask, frame=3)], 1000, 300)
    assert part.image.shape == (300, 300, 1)
    assert part.mask.sum() == mask.sum()
    reference = Reference(image, mask, frame=3)
    assert crop_references([reference], 1100, 300) == [reference]


def test_marks_far_apart_get_a_part_each(image):
    mask = marked((slice(20), slice(20)), (slice(880, 900), slice(1080, 1100)))
    parts = crop_references([Reference(image, mask)], 300)
    assert [part.mask.sum() for part in parts] == [400, 400]
    assert len({part.frame for part in parts}) == 2
    assert all(part.frame < 0 for part in parts)


def test_marks_everywhere_get_few_parts(image):
    parts = crop_references([Reference(image, np.ones(LARGE))], 256)
    assert len(parts) == MAX_CROPS
    assert all(part.mask.all() for part in parts)


def test_a_small_class_counts_as_much_as_a_large_one(image):
    large = Reference(image, marked((slice(0, 500), slice(0, 500))), 1, frame=0)
    small = Reference(image, marked((slice(880, 890), slice(1080, 1090))), 2, frame=0)
    parts = crop_references([large, small], 512)
    shown = {c: sum(p.mask.sum() for p in parts if p.class_id == c) for c in (1, 2)}
    assert shown[2] == 100
    assert shown[1] >= ENOUGH * 250_000


def test_classes_on_a_frame_share_its_parts(image):
    left = Reference(image, marked((slice(100, 150), slice(100, 150))), 1, frame=7)
    right = Reference(image, marked((slice(700, 750), slice(900, 950))), 2, frame=7)
    parts = crop_references([left, right], 300)
    # Where a class is not, its mask is empty: that says it is not there.
    assert sorted((p.class_id, p.empty) for p in parts) == [
        (1, False), (1, True), (2, False), (2, True),
    ]  # fmt: skip
    by_part = {part.frame: [] for part in parts}
    for part in parts:
        by_part[part.frame].append(part.image)
    assert all(len(images) == 2 for images in by_part.values())


def test_unmarked_pixels_of_incomplete_marks_are_unknown(image):
    strokes = marked((slice(100, 110), slice(100, 150)))
    other = marked((slice(700, 710), slice(900, 950)))
    references = [
        Reference(image, strokes, 1, "scribble", frame=0),
        Reference(image, other, 2, "scribble", frame=0),
    ]
    assert sorted(p.class_id for p in crop_references(references, 300)) == [1, 2]


def test_a_frame_without_the_class_teaches_a_part_of_it(image):
    (part,) = crop_references([Reference(image, np.zeros(LARGE), frame=2)], 512)
    assert part.empty
    assert part.image.shape == (512, 512, 1)


def test_ignored_pixels_move_along(image):
    mask = marked((slice(500, 540), slice(700, 760)))
    (part,) = crop_references([Reference(image, mask, ignored=mask > 0)], 400)
    np.testing.assert_array_equal(part.ignored, part.mask > 0)


def test_one_frame_does_not_look_like_two(image):
    mask = marked((slice(5), slice(5)))
    with_gaps = np.where(image > 100, image, np.nan)
    check_images([
        Reference(image, mask, frame=3),
        Reference(image.copy(), mask, 2, frame=3),
        Reference(255 - image, mask),
        Reference(with_gaps, mask, frame=4),
        Reference(with_gaps.copy(), mask, frame=4),
    ])  # fmt: skip
    with pytest.raises(InputError, match="frame 3 but different images"):
        check_images([Reference(image, mask, frame=3), Reference(255 - image, mask, frame=3)])


def test_negative_strokes_are_cropped_like_masks(image):
    mask = marked((slice(20), slice(20)))
    negative = marked((slice(880, 900), slice(1080, 1100))) > 0
    parts = crop_references([Reference(image, mask, kind="partial", negative=negative)], 300)
    assert [int(part.mask.sum()) for part in parts] == [400, 0]
    assert parts[1].negative.sum() == 400
    np.testing.assert_array_equal(parts[1].ignored, ~parts[1].negative)
