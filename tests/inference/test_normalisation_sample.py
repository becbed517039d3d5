"""The pixels that a normalisation is fitted to, and the channels that share their limits."""

import json

import numpy as np
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation, fit_normalisation

RAMP = np.linspace(0, 1, 400).reshape(20, 20)


def test_the_order_of_time_and_planes_changes_nothing():
    levels = np.random.default_rng(0).gamma(2, 9, (5, 4, 1, 1)) * np.ones((16, 16))
    by_time, by_plane = Frames(levels, "TZYX"), Frames(levels.swapaxes(0, 1), "ZTYX")
    assert Normalisation.fit(by_time, max_frames=6) == Normalisation.fit(by_plane, max_frames=6)


@pytest.mark.parametrize("shape", [(1000, 1000, 1), (500, 2000, 1), (1000, 1000, 2)])
def test_up_to_a_million_pixels_of_a_frame_are_used(shape):
    frame = np.zeros(shape, np.uint8)
    frame[1, 1] = 9
    assert not Normalisation.fit([frame]).flat


@pytest.mark.parametrize("shape", [(1000, 1001, 1), (1000, 1000, 6)])
def test_of_more_values_every_second_row_and_column_is_used(shape):
    frame = np.zeros(shape, np.uint8)
    frame[1, 1] = 9
    assert Normalisation.fit([frame]).flat
    frame[2, 2] = 9
    assert not Normalisation.fit([frame]).flat


@pytest.mark.parametrize(("ratio", "shared"), [(3.9, True), (4.1, False), (np.inf, True)])
def test_colours_whose_ranges_differ_more_than_four_times_have_their_own_limits(ratio, shared):
    picture = 10 + 0.9 * np.stack([RAMP, RAMP, RAMP / ratio], axis=-1)
    normalisation = Normalisation.fit(Frames(picture, "YXS"), percentiles=(0, 100))
    assert (len(set(normalisation.high)) == 1) is shared


def test_which_arrays_of_a_list_are_colours():
    transparent = (np.stack([RAMP, RAMP / 2, RAMP / 3, RAMP], axis=-1) * 240).astype(np.uint8)
    colours = Normalisation.fit([transparent])
    assert len(colours.high) == 3
    assert len(set(colours.high)) == 1
    assert len(Normalisation.fit([transparent.astype(np.uint16)]).high) == 4
    assert len(Normalisation.fit([transparent[..., [0, 1, 2, 3, 1]]]).high) == 5


def test_pixels_without_data_do_not_set_the_range_of_the_planes():
    bands = np.random.default_rng(0).normal(5, 1, (40, 30, 5)).astype(np.float32)
    with_gap = np.concatenate([bands, np.full_like(bands, np.nan)])
    assert Normalisation.fit([with_gap]) == Normalisation.fit([bands])


def test_bands_of_which_every_pixel_lacks_one():
    bands = np.random.default_rng(0).normal(5, 1, (40, 30, 5)).astype(np.float32)
    bands[::2, :, 0] = bands[1::2, :, 1] = np.nan
    planes = Normalisation.fit([bands]).apply(bands)
    assert planes.std(axis=(1, 2)).min() > 0.1


def test_given_limits():
    frames = Frames(np.zeros((3, 16, 16, 2)), "ZYXC")
    assert fit_normalisation(frames, (0, 10)) == Normalisation((0.0, 0.0), (10.0, 10.0))


@pytest.mark.parametrize("channels", [2, 5])
def test_json_keeps_everything(channels):
    frame = np.random.default_rng(0).normal(size=(20, 20, channels))
    normalisation = Normalisation.fit([frame])
    assert bool(normalisation.projection) == (channels > 3)
    assert Normalisation.from_json(json.loads(json.dumps(normalisation.to_json()))) == normalisation


@pytest.mark.parametrize(
    ("low", "high"), [((0.0,), (1.0, 1.0)), ((), ()), ((0.0,) * 4, (1.0,) * 4)]
)
def test_limits_that_fit_no_channels(low, high):
    with pytest.raises(InputError, match="one, two or three channels"):
        Normalisation(low, high)
