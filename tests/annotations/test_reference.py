import numpy as np
import pytest

from napari_vrp_sam.annotations.reference import FIRST_CROP, Reference
from napari_vrp_sam.errors import InputError

IMAGE = np.arange(20 * 24, dtype=np.uint16).reshape(20, 24)


def half_mask():
    mask = np.zeros((20, 24), dtype=bool)
    mask[:10] = True
    return mask


def test_a_channel_axis_is_added_and_the_mask_converted():
    reference = Reference(IMAGE, half_mask())
    assert reference.image.shape == (20, 24, 1)
    assert reference.image.dtype == np.uint16
    assert reference.mask.dtype == np.float32
    assert (reference.class_id, reference.kind, reference.frame) == (1, "mask", None)


@pytest.mark.parametrize(
    ("kind", "sparse"),
    [("point", True), ("scribble", True), ("partial", True), ("box", False), ("mask", False)],
)
def test_kinds_that_leave_unmarked_pixels_unknown_are_sparse(kind, sparse):
    assert Reference(IMAGE, half_mask(), kind=kind).sparse is sparse


def test_an_empty_mask_means_that_the_class_is_absent():
    assert Reference(IMAGE, np.zeros((20, 24))).empty
    assert not Reference(IMAGE, half_mask()).empty


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": IMAGE[0]}, "needs the axes"),
        ({"image": IMAGE.astype(complex)}, "real numbers"),
        ({"mask": half_mask()[1:]}, "use a mask of the same size"),
        ({"mask": np.zeros((20, 24)), "kind": "scribble"}, "empty"),
        ({"mask": np.full((20, 24), np.nan)}, "between 0 and 1"),
        ({"mask": half_mask() * 255}, "between 0 and 1"),
        ({"class_id": 0}, "classes start at 1"),
        ({"kind": "lasso"}, "point, scribble, partial, box, mask"),
        ({"kind": "x" * 2000}, "^Unknown annotation kind .x{59}: use one of"),
    ],
)
def test_invalid_references_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Reference(**{"image": IMAGE, "mask": half_mask(), **arguments})


def stroke():
    negative = np.zeros((20, 24), dtype=bool)
    negative[8:12, 3] = True
    return negative


@pytest.mark.parametrize("kind", ["point", "scribble", "partial", "box", "mask"])
def test_negative_pixels_are_not_the_class(kind):
    reference = Reference(IMAGE, half_mask(), kind=kind, negative=stroke())
    assert reference.kind == kind
    np.testing.assert_array_equal(reference.negative, stroke())
    np.testing.assert_array_equal(reference.mask > 0, half_mask() & ~stroke())


@pytest.mark.parametrize("kind", ["point", "scribble", "partial", "box"])
def test_of_a_frame_with_negative_pixels_only_nothing_else_is_known(kind):
    reference = Reference(IMAGE, np.zeros((20, 24)), kind=kind, negative=stroke())
    assert (reference.kind, reference.empty) == ("mask", True)
    np.testing.assert_array_equal(reference.ignored, ~stroke())


def test_an_empty_mask_with_negative_pixels_still_means_that_the_class_is_absent():
    assert Reference(IMAGE, np.zeros((20, 24)), negative=stroke()).ignored is None


def test_negative_pixels_must_have_the_size_of_the_mask():
    with pytest.raises(InputError, match="negative pixels has the shape"):
        Reference(IMAGE, half_mask(), negative=stroke()[1:])


def with_missing():
    image = IMAGE.astype(np.float32)
    image[:, :6] = np.nan
    missing = np.isnan(image)
    return image, missing


def test_missing_pixels_are_neither_class_nor_negative_nor_known():
    image, missing = with_missing()
    ignored = np.zeros((20, 24), dtype=bool)
    ignored[15:, 10:] = True
    reference = Reference(image, half_mask(), ignored=ignored, negative=stroke())
    assert not stroke()[~missing].any()
    assert reference.negative is None  # all of it is missing
    np.testing.assert_array_equal(reference.ignored, ignored | missing)
    np.testing.assert_array_equal(reference.mask, half_mask() & ~missing)
    np.testing.assert_array_equal(Reference(image, half_mask()).ignored, missing)

    wide = np.zeros((20, 24), dtype=bool)
    wide[18] = True
    negative = Reference(image, half_mask(), negative=wide).negative
    np.testing.assert_array_equal(negative, wide & ~missing)


def test_an_annotation_of_missing_pixels_is_refused():
    image, missing = with_missing()
    with pytest.raises(InputError, match="lies on pixels without data only"):
        Reference(image, missing)
    assert Reference(image, np.zeros((20, 24))).empty


def test_ignored_pixels_stay_unknown_on_a_frame_with_negative_pixels_only():
    ignored = np.zeros((20, 24), dtype=bool)
    ignored[8, 3] = True
    reference = Reference(
        IMAGE, np.zeros((20, 24)), kind="point", ignored=ignored, negative=stroke()
    )
    np.testing.assert_array_equal(reference.ignored, ~stroke() | ignored)


@pytest.mark.parametrize(
    ("frame", "crop"),
    [(FIRST_CROP, True), (FIRST_CROP + 99, True), (None, False), (0, False), (-1, False)],
)
def test_crops_have_numbers_below_those_of_frames(frame, crop):
    assert Reference(IMAGE, half_mask(), frame=frame).is_crop is crop


def test_masks_may_not_exceed_one():
    mask = half_mask().astype(np.float32)
    mask[0, 0] = 1.5
    with pytest.raises(InputError, match="between 0 and 1"):
        Reference(IMAGE, mask)
