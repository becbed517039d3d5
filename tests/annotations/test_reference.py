import numpy as np
import pytest

from napari_vrp_sam.annotations.reference import Reference
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
    ("kind", "sparse"), [("point", True), ("scribble", True), ("box", False), ("mask", False)]
)
def test_points_and_scribbles_are_sparse(kind, sparse):
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
        ({"kind": "lasso"}, "point, scribble, box, mask"),
    ],
)
def test_invalid_references_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Reference(**{"image": IMAGE, "mask": half_mask(), **arguments})
