import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.axes import AXES, AXIS_NAMES, axis_letters, guess_axes, parse_axes


@pytest.mark.parametrize(
    ("names", "letters"),
    [
        (["time", "band", "y", "x"], "TCYX"),
        (["t", "c", "z", "y", "x"], "TCZYX"),
        (["Channel", "Depth", "Row", "Column"], "CZYX"),
        (["time", "lat", "lon"], "TYX"),
        (["band", "latitude", "longitude"], "CYX"),
        (["y", "x", "rgb"], "YXS"),
        (["time_point", "y", "x"], "TYX"),
        (["well", "y", "x"], "ZYX"),
        (["z", "field", "y", "x"], "ZTYX"),
        (["dim_0", "dim_1", "dim_2"], None),
        (["row", "y", "x"], None),
        (["a", "b", "c", "y", "x", "d"], None),
    ],
)
def test_names_that_people_and_libraries_use(names, letters):
    assert axis_letters(names) == letters


def test_each_name_means_one_axis():
    names = [name for listed in AXIS_NAMES.values() for name in listed.split()]
    assert len(set(names)) == len(names)
    assert set(AXIS_NAMES) == set(AXES)


@pytest.mark.parametrize(
    "axes", ["tcyx", "TCYX", "time,band,y,x", "time band row column", ["time", "Band", "y", "x"]]
)
def test_axes_as_letters_or_names(axes):
    assert parse_axes(axes) == "TCYX"


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="'well' is not known: give `axes`"):
        parse_axes(["well", "y", "x"])


@pytest.mark.parametrize(
    ("shape", "dtype", "axes"),
    [
        ((64, 64), "uint8", "YX"),
        ((64, 64, 3), "uint8", "YXS"),
        ((64, 64, 4), "uint8", "YXS"),
        ((64, 64, 5), "uint8", "YXC"),
        ((64, 64, 10), "uint16", "YXC"),
        ((3, 64, 64), "uint8", "ZYX"),
        ((5, 64, 64, 3), "uint8", "ZYXS"),
        ((30, 20, 64, 64), "float32", "TZYX"),
        ((30, 1, 64, 64), "float32", "TZYX"),
        ((7, 64, 64, 10), "uint16", "ZYXC"),
        ((5, 20, 2, 64, 64), "uint16", "TZCYX"),
        ((5, 4, 64, 64, 3), "uint8", "TZYXS"),
    ],
)
def test_axes_guessed_when_none_are_named(shape, dtype, axes):
    assert guess_axes(shape, dtype) == axes


@pytest.mark.parametrize(
    ("shape", "dtype", "listed"),
    [
        ((64, 64, 3), "uint16", ["YXS", "YXC"]),
        ((5, 64, 64, 3), "uint16", ["ZYXS", "ZYXC"]),
        ((30, 4, 64, 64), "uint16", ["TZYX", "TCYX"]),
        ((2, 10, 64, 64), "uint16", ["TZYX", "TCYX", "CZYX"]),
        ((9, 3, 20, 64, 64), "uint16", ["TZCYX", "TCZYX"]),
    ],
)
def test_an_uncertain_guess_asks_for_the_axes(shape, dtype, listed):
    with pytest.raises(InputError, match="give `axes`") as caught:
        guess_axes(shape, dtype)
    assert [word.strip("'") for word in str(caught.value).split() if "'" in word] == listed
