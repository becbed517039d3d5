"""Marking, finding and filling pixels without data."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vrp_sam.annotations.missing import fill_missing, missing_pixels, with_nan

RAMP = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (40, 1))


@pytest.mark.parametrize(
    ("dtype", "filled"),
    [
        ("uint8", "float32"), ("int16", "float32"), ("float16", "float32"), ("float32", "float32"),
        ("int32", "float64"), ("float64", "float64"),
    ],
)  # fmt: skip
def test_every_value_fits_into_the_type_with_nan(dtype: str, filled: str) -> None:
    frame = with_nan(np.array([[7, 100]], dtype), nodata=7)
    assert frame.dtype == filled
    np.testing.assert_array_equal(frame, [[np.nan, 100]])


def test_the_mask_of_the_caller_stays_as_it_is() -> None:
    frame = np.ma.array([[1.0, 2.0, 3.0]], mask=[[True, False, False]])
    np.testing.assert_array_equal(with_nan(frame, nodata=3), [[np.nan, 2, np.nan]])
    assert frame.mask.tolist() == [[True, False, False]]


def test_a_mask_is_enough() -> None:
    frame = np.ma.array([[1, 2, 3]], mask=[[True, False, False]])
    np.testing.assert_array_equal(with_nan(frame), [[np.nan, 2, 3]])


@pytest.mark.parametrize("nodata", [None, np.nan])
def test_a_frame_without_gaps_stays_as_it_is(nodata: float | None) -> None:
    frame = np.array([[1, 2, 3]])
    assert with_nan(frame, nodata) is frame


def test_no_pixel_has_a_value_that_its_type_cannot_hold() -> None:
    for dtype, nodata in ((bool, -9999), (np.uint8, 1.5)):
        assert not np.isnan(with_nan(np.ones((2, 2), dtype), nodata)).any()


def test_gaps_are_filled_with_their_surroundings() -> None:
    planes = np.stack([RAMP, RAMP])
    planes[:, :, 30:] = np.nan
    planes[1] = np.nan
    planes = fill_missing(planes)
    # Mirrored at the border, so that there is no step.
    np.testing.assert_allclose(planes[0, :, 30:39], RAMP[:, 29:20:-1], atol=0.06)
    assert not planes[1].any()


def test_a_pixel_is_missing_only_without_a_value_in_any_channel() -> None:
    frame = np.zeros((16, 16, 2), np.float32)
    frame[3, 4] = np.nan
    frame[5, 6, 0] = np.nan
    missing = missing_pixels(frame)
    assert missing is not None
    assert np.argwhere(missing).tolist() == [[3, 4]]
    assert missing_pixels(frame[..., 1:] * 0 + 1) is not None
    assert missing_pixels(np.zeros((16, 16, 2))) is None


def test_beyond_the_mirror_image_a_gap_takes_the_nearest_value() -> None:
    (plane,) = fill_missing(np.where(np.arange(40) < 25, np.nan, RAMP)[None])
    np.testing.assert_array_equal(plane[:, 11:25], RAMP[:, 39:25:-1])
    assert (plane[:, :11] == RAMP[0, 25]).all()


def test_every_plane_is_filled_by_itself() -> None:
    planes = np.stack([RAMP, RAMP, RAMP])
    planes[:2, :, 30:] = planes[2, 5:9] = np.nan
    alone = [fill_missing(plane[None].copy())[0] for plane in planes]
    np.testing.assert_array_equal(fill_missing(planes), np.stack(alone))
