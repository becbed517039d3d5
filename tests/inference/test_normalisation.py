import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation

real_dtypes = st.sampled_from(
    ["bool", "uint8", "int16", "uint16", "int32", "uint64", "float16", "float32", "float64"]
)


@given(
    real_dtypes.flatmap(
        lambda dtype: arrays(
            dtype, st.tuples(st.integers(1, 3), st.just(16), st.just(17), st.integers(1, 5))
        )
    )
)
@settings(max_examples=100)
def test_any_real_image_becomes_three_planes_in_zero_to_one(array):
    frames = Frames(array, "ZYXC")
    normalisation = Normalisation.fit(frames)
    for frame in frames:
        planes = normalisation.apply(frame)
        assert planes.shape == (3, 16, 17)
        assert planes.dtype == np.float32
        assert ((planes >= 0) & (planes <= 1)).all()


def test_percentiles_of_the_whole_stack():
    stack = np.zeros((3, 50, 50), dtype=np.uint16)
    stack[1] = np.arange(2500).reshape(50, 50)
    stack[2] = 5000
    normalisation = Normalisation.fit(Frames(stack), percentiles=(10, 90))
    assert (normalisation.low, normalisation.high) == ((0.0,), (5000.0,))
    planes = [normalisation.apply(frame)[0] for frame in Frames(stack)]
    assert planes[0].max() == 0
    assert planes[1].max() == pytest.approx(2499 / 5000)
    assert planes[2].min() == 1


def test_a_few_frames_spread_over_the_stack_are_read():
    read = set()

    def block(block_info):
        index = block_info[None]["chunk-location"][0]
        read.add(index)
        return np.full((1, 16, 16), index)

    meta = np.empty((0, 0, 0), dtype=int)
    lazy = da.map_blocks(block, chunks=((1,) * 100, (16,), (16,)), dtype=int, meta=meta)
    Normalisation.fit(Frames(lazy), max_frames=5)
    assert read == {0, 25, 50, 74, 99}
    read.clear()
    Normalisation.fit(Frames(lazy))
    assert len(read) == 8


def test_large_frames_are_thinned_out_not_cropped():
    ramp = np.broadcast_to(np.arange(3000, dtype=np.float32), (2000, 3000))
    normalisation = Normalisation.fit(Frames(ramp))
    assert normalisation.low[0] == pytest.approx(15, abs=5)
    assert normalisation.high[0] == pytest.approx(2985, abs=5)


def test_colours_share_their_limits():
    picture = np.zeros((32, 32, 3), dtype=np.uint8)
    picture[:16] = (200, 100, 50)
    for frames in (Frames(picture), [picture]):
        normalisation = Normalisation.fit(frames)
        assert normalisation == Normalisation((0,) * 3, (200,) * 3)
        np.testing.assert_allclose(normalisation.apply(picture)[:, 0, 0], (1, 0.5, 0.25))


def test_channels_have_their_own_limits():
    stack = np.zeros((2, 32, 32))
    stack[0, :16] = 10
    stack[1, :16] = 1000
    normalisation = Normalisation.fit(Frames(stack, "CYX"))
    assert normalisation.high == (10, 1000)


def test_channels_become_three_planes():
    frame = np.stack([np.full((16, 16), value) for value in (1, 2, 3, 4)], axis=-1)
    for count, expected in [(1, (0.1, 0.1, 0.1)), (2, (0.1, 0.2, 0.15)), (4, (0.1, 0.2, 0.3))]:
        normalisation = Normalisation.from_limits((0, 10), count)
        np.testing.assert_allclose(normalisation.apply(frame[..., :count])[:, 0, 0], expected)


def test_nan_and_infinity_are_replaced_and_do_not_count():
    stack = np.linspace(0, 1, 400).reshape(1, 20, 20)
    clean = Normalisation.fit(Frames(stack), percentiles=(0, 100))
    stack[0, 5, :3] = (np.nan, np.inf, -np.inf)
    assert Normalisation.fit(Frames(stack), percentiles=(0, 100)) == clean
    plane = clean.apply(Frames(stack)[0])[0]
    assert plane[5, 1:3].tolist() == [1, 0]
    assert plane[5, 0] in plane[3:8, :3]  # NaN takes a value from its surroundings


@pytest.mark.parametrize("value", [0, 7, np.nan, np.inf])
def test_constant_images_become_zero(value):
    frames = Frames(np.full((2, 16, 16), value, dtype=np.float32))
    normalisation = Normalisation.fit(frames)
    assert normalisation.flat
    assert not normalisation.apply(frames[0]).any()


def test_one_channel_with_contrast_is_enough():
    stack = np.zeros((2, 16, 16, 2), dtype=np.uint8)
    stack[0, 3, 4, 1] = 9
    assert not Normalisation.fit(Frames(stack, "ZYXC")).flat


def test_sparse_signal_on_an_even_background_is_not_lost():
    stack = np.zeros((1, 100, 100), dtype=np.uint8)
    stack[0, 3, :5] = 9
    frames = Frames(stack)
    np.testing.assert_array_equal(Normalisation.fit(frames).apply(frames[0])[0], stack[0] / 9)


def test_the_whole_range_of_half_precision():
    frame = np.linspace(-65504, 65504, 400, dtype=np.float16).reshape(20, 20, 1)
    planes = Normalisation.fit([frame], percentiles=(0, 100)).apply(frame)
    np.testing.assert_allclose(planes[0].ravel(), np.linspace(0, 1, 400), atol=2e-3)


def test_neighbouring_values_of_large_integers_stay_apart():
    frame = np.full((16, 16, 1), 2**31, dtype=np.uint32)
    frame[0] += 1
    planes = Normalisation.fit([frame]).apply(frame)
    assert planes[0, 0, 0] == 1
    assert planes[0, 1, 0] == 0


@pytest.mark.parametrize("limits", [(1, 1), (2, 1), (0, np.nan), (0, np.inf)])
def test_limits_that_are_no_range(limits):
    with pytest.raises(InputError, match="not a range"):
        Normalisation.from_limits(limits, 1)


def test_another_number_of_channels():
    with pytest.raises(InputError, match="3 channels where 1"):
        Normalisation((0.0,), (1.0,)).apply(np.zeros((16, 16, 3)))


def test_frames_that_cannot_be_read_are_left_out_of_the_sample():
    class Damaged:
        def __init__(self, *damaged):
            self.damaged = damaged

        def __len__(self):
            return 3

        def __getitem__(self, index):
            if index in self.damaged:
                raise OSError("The chunk is damaged.")
            return np.linspace(0, 10 + index, 400).reshape(20, 20, 1)

    part = Normalisation.fit(Damaged(1))
    assert part.low == pytest.approx(Normalisation.fit(Damaged()).low, abs=0.5)
    with pytest.raises(OSError, match="damaged"):
        Normalisation.fit(Damaged(0, 1, 2))
