"""Old names of keyword arguments."""

from __future__ import annotations

import pytest

from napari_vrp_sam.deprecation import renamed_arguments


@renamed_arguments(colour="color", size="width")
def draw(shape, *, color="black", width=1):
    return shape, color, width


def test_new_names_do_not_warn():
    assert draw("line", color="red") == ("line", "red", 1)


def test_old_names_work_with_a_warning_at_the_caller():
    with pytest.warns(
        DeprecationWarning, match=r"'colour' of draw\(\) has been .* 'color'"
    ) as all_:
        assert draw("line", colour="red") == ("line", "red", 1)
    assert all_[0].filename == __file__


def test_both_names_are_rejected():
    with pytest.raises(TypeError, match="argument 'width' and also 'size'"):
        draw("line", width=2, size=3)
