import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.out_of_core import scratch
from napari_vrp_sam.inference.out_of_core.frame_view import FrameView

SIZES = {"T": 2, "Z": 3, "C": 4, "S": 4, "Y": 17, "X": 19}


@st.composite
def axes_orders(draw):
    """Every way to name the axes of an image."""
    chosen = ["Y", "X", *draw(st.sets(st.sampled_from("TZ")))]
    chosen += draw(st.sampled_from([[], ["C"], ["S"]]))
    return "".join(draw(st.permutations(chosen)))


def counted(axes, dtype=np.uint16):
    """An array whose values are all different."""
    shape = [SIZES[axis] for axis in axes]
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def in_zarr(array):
    chunks = tuple((size + 1) // 2 for size in array.shape)
    stored = zarr.create_array(
        zarr.storage.MemoryStore(), shape=array.shape, dtype=array.dtype, chunks=chunks
    )
    stored[...] = array
    return stored


def expected_frames(array, axes):
    """The frames as (N, Y, X, C), the slow and simple way."""
    lead = [axis for axis in axes if axis in "TZ"]
    channel = "S" if "S" in axes else "C"
    if channel not in axes:
        array, axes = array[..., None], axes + channel
    ordered = np.moveaxis(
        array, [axes.index(a) for a in [*lead, "Y", "X", channel]], range(array.ndim)
    )
    return ordered.reshape(-1, *ordered.shape[-3:])


@given(axes_orders(), st.data())
@settings(max_examples=30, deadline=None)
def test_any_order_of_axes_from_any_kind_of_array(axes, data):
    array = counted(axes)
    n_channels = SIZES["C"] if set(axes) & set("CS") else 1
    channels = data.draw(
        st.none() | st.lists(st.integers(0, n_channels - 1), min_size=1, unique=True)
    )
    expected = expected_frames(array, axes)[..., channels or slice(None)]
    kinds = [
        Frames(array, axes, channels),
        Frames(da.from_array(array, chunks=10), axes.lower(), channels),
        Frames(in_zarr(array), axes, channels),
        Frames(xr.DataArray(array, dims=list(axes)), channels=channels),
    ]
    for frames in kinds:
        assert len(frames) == len(expected)
        assert frames.label_shape == (*frames.lead_shape, 17, 19)
        assert frames.lead_shape == tuple(SIZES[axis] for axis in axes if axis in "TZ")
        read = np.stack(list(frames))
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, expected)
        assert frames.dtype == array.dtype
        window = frames.view(-1)[3:9, 2:12]
        np.testing.assert_array_equal(window, expected[-1, 3:9, 2:12])
        assert frames.view(-1).shape == expected[-1].shape


@given(axes_orders())
def test_index_and_position_are_inverse(axes):
    frames = Frames(counted(axes), axes)
    labels = np.arange(len(frames)).reshape(frames.lead_shape)
    for index in range(len(frames)):
        position = frames.position(index)
        assert labels[position] == index
        assert frames.index(position) == index
        np.testing.assert_array_equal(frames[index - len(frames)], frames[index])


def test_named_dimensions_win_over_the_guess():
    assert Frames(xr.DataArray(np.zeros((20, 30, 5)), dims=["y", "x", "t"])).axes == "YXT"
    assert Frames(xr.DataArray(np.zeros((5, 20, 30)), dims=["plane", "y", "x"])).axes == "ZYX"
    scene = xr.DataArray(np.zeros((2, 3, 20, 30)), dims=["time", "band", "y", "x"])
    assert Frames(scene).axes == "TCYX"
    assert Frames(np.zeros((2, 3, 20, 30)), "time, band, y, x").axes == "TCYX"
    assert Frames(np.zeros((2, 3, 20, 30)), ["Time", "Depth", "Row", "Column"]).axes == "TZYX"


def test_only_the_asked_frame_is_read():
    read = []

    def block(block_info):
        position = block_info[None]["chunk-location"]
        read.append(position)
        return np.full((1, 1, 32, 32), position[1])

    lazy = da.map_blocks(
        block, chunks=((1,) * 6, (1,) * 5, (32,), (32,)), dtype=int, meta=np.empty((0,) * 4, int)
    )
    frames = Frames(lazy, "ZCYX", channels=[3, 2])
    assert not read
    frame = frames[4]
    assert frame[0, 0].tolist() == [3, 2]
    assert {position[0] for position in read} == {4}
    assert {position[1] for position in read} == {2, 3}


def test_bool_becomes_zero_and_one():
    frame = Frames(np.eye(20, dtype=bool))[0]
    assert frame.dtype == np.uint8
    np.testing.assert_array_equal(frame[..., 0], np.eye(20))


@pytest.mark.parametrize(("axes", "channels", "rgb"), [
    ("ZYXS", None, True), ("ZYXS", [2, 1, 0], True), ("ZYXS", [0], False), ("ZYXC", None, False),
])  # fmt: skip
def test_colours_are_known(axes, channels, rgb):
    assert Frames(np.zeros((2, 16, 16, 3)), axes, channels).rgb is rgb


def test_more_than_three_channels_are_projected_unless_they_are_colours():
    stack = np.zeros((2, 16, 16, 4))
    assert Frames(stack, "ZYXC").projected
    assert not Frames(stack, "ZYXC", [0, 1, 3]).projected
    assert not Frames(stack, "ZYXS").projected


def test_frames_that_are_too_large_are_read_by_windows(monkeypatch):
    frames = Frames(counted("ZYX"), "ZYX")
    assert not frames.too_large
    assert isinstance(frames.frame(1), np.ndarray)
    monkeypatch.setattr(scratch, "LARGEST_FRAME", 17 * 19 - 1)
    assert frames.too_large
    view = frames.frame(1)
    assert isinstance(view, FrameView)
    np.testing.assert_array_equal(np.asarray(view), frames[1])


def test_iteration_ends():
    with pytest.raises(IndexError):
        Frames(np.zeros((3, 16, 16)))[3]


@pytest.mark.parametrize(
    ("data", "axes", "sentence"),
    [
        (np.zeros((32, 32), dtype=complex), None, "Complex"),
        (np.zeros((32, 32), dtype="datetime64[s]"), None, "datetime64"),
        (np.array([["a"] * 20] * 20), None, "convert them to real numbers"),
        ([[1, 2], [3]], None, "is not an array"),
        (np.zeros(32), None, "2 to 5 axes"),
        (np.zeros(32), "X", "lack Y or X"),
        (np.zeros((1, 1, 1, 1, 20, 20)), None, "2 to 5 axes"),
        (np.zeros((0, 32, 32)), None, "empty"),
        (np.zeros((15, 32)), None, "too small"),
        (np.zeros((64, 64, 3)), None, "'YXS' .colours. or 'YXC'"),
        (np.zeros((64, 64, 3)), "ZYX", "64, 3.*are ZYX"),
        (np.zeros((32, 32)), "ZYX", "names 3 axes, but the image has the shape"),
        (np.zeros((32, 32)), "YQ", "letters TZCYXS"),
        (np.zeros((32, 32)), "YY", "letters TZCYXS"),
        (np.zeros((4, 32, 32)), "TZY", "lack Y or X"),
        (np.zeros((3, 32, 32, 3)), "CYXS", "both C and S"),
    ],
)
def test_bad_input(data, axes, sentence):
    with pytest.raises(InputError, match=sentence):
        Frames(data, axes)


@pytest.mark.parametrize(
    ("channels", "sentence"), [([2], "no channel 2"), ([-1], "no channel -1"), ([], "No channel")]
)
def test_channels_that_are_not_there(channels, sentence):
    with pytest.raises(InputError, match=sentence):
        Frames(np.zeros((2, 32, 32)), "CYX", channels)


@pytest.mark.parametrize("position", [3, -1, (0, 0), ()])
def test_positions_that_are_not_there(position):
    with pytest.raises(InputError, match="no frame at"):
        Frames(np.zeros((3, 32, 32))).index(position)


def test_labels_have_the_leading_axes_and_those_of_a_frame():
    frames = Frames(counted("CTZYX"), "CTZYX")
    assert (frames.label_axes, frames.label_shape) == ("TZYX", (2, 3, 17, 19))


def test_neighbours_lie_along_z_before_t():
    frames = Frames(counted("TZYX"), "TZYX")
    assert [frames.neighbours(index) for index in range(6)] == [[1], [0, 2], [1], [4], [3, 5], [4]]
    assert Frames(counted("TYX"), "TYX").neighbours(0) == [1]
    assert Frames(counted("TZYX")[:, :1], "TZYX").neighbours(1) == [0]
    assert Frames(counted("YX"), "YX").neighbours(0) == []
