import numpy as np
import pytest
from napari.layers import Image

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.metadata import METADATA_KEY
from napari_vrp_sam.plugin.layers.stacks import NODATA, allocate_zeros, frames_of, possible_axes


@pytest.mark.parametrize(
    ("shape", "expected", "count"),
    [((9, 9), "YX", 1), ((4, 9, 9), "ZYX", 3), ((3, 4, 9, 9), "TZYX", 6), ((2,) * 5, "TZCYX", 6)],
)
def test_default_axes_depend_on_ndim(shape, expected, count):
    axes = possible_axes(Image(np.zeros(shape)))

    assert axes[0] == expected
    assert len(axes) == len(set(axes)) == count


def test_rgb_is_not_an_axis_of_frames():
    image = Image(np.zeros((4, 20, 20, 3), dtype=np.uint8), rgb=True)

    assert possible_axes(image)[0] == "ZYXS"
    assert frames_of(image).lead_shape == (4,)


def test_axis_labels_determine_the_axes():
    image = Image(np.zeros((2, 3, 20, 20)), axis_labels=("channel", "time", "y", "x"))

    assert possible_axes(image)[0] == "CTYX"
    assert frames_of(image).lead_shape == (3,)


def test_full_names_of_axes():
    image = Image(np.zeros((2, 3, 20, 20)), axis_labels=("time", "band", "y", "x"))
    assert possible_axes(image)[0] == "TCYX"


def test_the_nodata_value_of_the_file_is_known():
    image = Image(np.full((3, 20, 20), -9999.0), metadata={METADATA_KEY: {NODATA: -9999.0}})
    assert np.isnan(frames_of(image)[0]).all()


def test_too_many_axes():
    with pytest.raises(InputError, match="at most 5"):
        possible_axes(Image(np.zeros((1, 1, 1, 2, 20, 20))))


@pytest.mark.parametrize("frames", [10**9, 10**15])  # too little memory; beyond the address space
def test_arrays_larger_than_memory(frames):
    with pytest.raises(InputError, match=rf"Labels of {frames} frames of 1024 x 512 .* \.zarr\.$"):
        allocate_zeros((frames, 1024, 512), np.uint8)
    with pytest.raises(InputError, match=r"^Probabilities of .* need 5242880*\.0 GB"):
        allocate_zeros((frames, 1024, 512), np.uint8, "Probabilities")
    assert allocate_zeros((2, 3, 4), np.uint16).dtype == np.uint16
