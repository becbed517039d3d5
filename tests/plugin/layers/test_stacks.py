import numpy as np
import pytest
from napari.layers import Image

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.stacks import blank, frames_of, possible_axes


@pytest.mark.parametrize(
    ("shape", "likeliest", "choices"),
    [((9, 9), "YX", 1), ((4, 9, 9), "ZYX", 3), ((3, 4, 9, 9), "TZYX", 6), ((2,) * 5, "TZCYX", 6)],
)
def test_axes_are_guessed_by_their_number(shape, likeliest, calibrations):
    axes = possible_axes(Image(np.zeros(shape)))

    assert axes[0] == likeliest
    assert len(axes) == len(set(axes)) == calibrations


def test_colours_are_no_frames():
    image = Image(np.zeros((4, 20, 20, 3), dtype=np.uint8), rgb=True)

    assert possible_axes(image)[0] == "ZYXS"
    assert frames_of(image).lead_shape == (4,)


def test_names_of_the_axes_count():
    image = Image(np.zeros((2, 3, 20, 20)), axis_labels=("channel", "time", "y", "x"))

    assert possible_axes(image)[0] == "CTYX"
    assert frames_of(image).lead_shape == (3,)


def test_too_many_axes_get_a_sentence():
    with pytest.raises(InputError, match="5 is the most"):
        possible_axes(Image(np.zeros((1, 1, 1, 2, 20, 20))))


@pytest.mark.parametrize("frames", [10**9, 10**15])  # no memory for it; beyond any address
def test_labels_larger_than_memory_get_a_sentence(frames):
    with pytest.raises(InputError, match=rf"Labels of {frames} frames of 1024 x 512 .* \.zarr\.$"):
        blank((frames, 1024, 512), np.uint8)
    with pytest.raises(InputError, match=r"^Probabilities of .* take 5242880*\.0 GB"):
        blank((frames, 1024, 512), np.uint8, "Probabilities")
    assert blank((2, 3, 4), np.uint16).dtype == np.uint16
