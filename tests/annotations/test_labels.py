import zlib

import numpy as np
import pytest

from napari_vrp_sam.annotations.labels import (
    MAX_CLASSES,
    check_class_count,
    class_ids_of,
    labels_checksum,
    labels_dtype,
    merge_classes,
    references_from_labels,
)
from napari_vrp_sam.errors import InputError


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)


@pytest.fixture
def labels():
    labels = np.zeros((24, 32), dtype=np.int32)
    labels[2:8, 2:8] = 7
    labels[10:20, 10:20] = 2
    return labels


def test_one_reference_for_each_class(image, labels):
    references = references_from_labels(labels, image, frame=4)
    assert [(r.class_id, r.kind, r.frame) for r in references] == [(2, "mask", 4), (7, "mask", 4)]
    for reference in references:
        assert reference.image is image
        np.testing.assert_array_equal(reference.mask, labels == reference.class_id)


def test_labels_of_scribbles_are_sparse(image, labels):
    references = references_from_labels(labels, image, kind="scribble")
    assert all(reference.sparse for reference in references)


def test_bool_labels_are_class_1(image, labels):
    (reference,) = references_from_labels(labels > 0, image)
    assert reference.class_id == 1


def test_classes_may_cover_the_whole_frame(image):
    labels = np.ones((24, 32), dtype=np.uint8)
    labels[12:] = 2
    assert len(references_from_labels(labels, image)) == 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((24, 32), dtype=np.uint8), "empty"),
        (np.ones((24, 31), dtype=np.uint8), "use labels of the same size"),
        (np.full((24, 32), -1), r"negative value -1.*ignore=-1"),
        (np.ones((24, 32)), "integers"),
        (np.arange(24 * 32).reshape(24, 32), r"767 different values.*one_class=True"),
    ],
)
def test_invalid_labels_are_refused(image, labels, message):
    with pytest.raises(InputError, match=message):
        references_from_labels(labels, image)


def test_label_values_may_mean_background_and_ignored_pixels(image, labels):
    labels[0, :5], labels[22, :7] = 9, 255
    (reference, other) = references_from_labels(
        labels, image, kind="partial", background=9, ignore=255
    )
    assert (reference.class_id, other.class_id, other.kind) == (2, 7, "partial")
    for one in (reference, other):
        np.testing.assert_array_equal(one.negative, labels == 9)
        np.testing.assert_array_equal(one.ignored, labels == 255)
        np.testing.assert_array_equal(one.mask > 0, labels == one.class_id)


def test_background_applies_to_classes_of_other_frames(image, labels):
    labels[0, :5] = 9
    references = references_from_labels(labels, image, background=9, class_ids={2, 3})
    assert [r.class_id for r in references] == [2, 3, 7]
    absent = references[1]
    assert absent.empty
    # Nothing else is known about class 3 on this frame.
    np.testing.assert_array_equal(absent.ignored, labels != 9)


def test_classes_of_other_frames_are_not_mentioned_without_background(image, labels):
    references = references_from_labels(labels, image, background=9, class_ids={3})
    assert [r.class_id for r in references] == [2, 7]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"background": 0}, "background cannot be 0"),
        ({"ignore": 0}, "ignored pixels cannot be 0"),
        ({"background": 3, "ignore": 3}, "both background and ignored"),
        ({"background": 2, "ignore": 7}, "empty"),
    ],
)
def test_invalid_label_values_are_refused(image, labels, values, message):
    with pytest.raises(InputError, match=message):
        references_from_labels(labels, image, **values)


def test_the_smallest_dtype_holds_the_largest_class():
    assert [labels_dtype(ids) for ids in ((2, 255), (1, 256), (70_000, 3))] == ["u1", "u2", "u4"]


def test_classes_are_listed_once_and_in_order(image, labels):
    references = references_from_labels(labels, image)
    assert class_ids_of([*references[::-1], *references]) == (2, 7)


def test_values_are_merged_except_those_with_a_meaning():
    labels = np.array([[0, 1, 5, 9, -3]])
    assert merge_classes(labels, (9, None)).tolist() == [[0, 1, 1, 9, -3]]
    assert merge_classes(labels).tolist() == [[0, 1, 1, 1, -3]]


def test_the_largest_number_of_classes():
    check_class_count(range(1, 33))
    with pytest.raises(InputError, match="more than the 32 classes"):
        check_class_count(range(1, 34))
    assert MAX_CLASSES == 32


def test_a_checksum_depends_on_pixels_and_dtype_and_not_on_the_layout(labels):
    known = labels_checksum(labels)
    assert known == zlib.crc32(labels.tobytes())
    assert labels_checksum(np.asfortranarray(labels)) == known
    assert labels_checksum(labels.astype(np.int64)) != known
    labels[0, 0] = 1
    assert labels_checksum(labels) != known


def test_a_checksum_of_more_rows_than_are_read_at_a_time():
    labels = np.arange(5000 * 3, dtype=np.uint16).reshape(5000, 3)
    assert labels_checksum(labels) == zlib.crc32(labels.tobytes())
