"""Questions about labels of several frames, and about values that mark unknown pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from napari_vrp_sam.annotations.label_questions import LabelQuestion, check_label_meaning

ROWS, COLUMNS = np.mgrid[:96, :160]
DARK = np.zeros((96, 160, 1), np.uint8)


def labels_of(*discs: tuple[int, int, int, int]) -> Any:
    """Labels of discs, each of a value, row, column and radius."""
    labels = np.zeros(ROWS.shape, np.uint8)
    for value, row, column, radius in discs:
        labels[(ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2] = value
    return labels


def question(planes: Mapping[int, Any], **known: Any) -> LabelQuestion | None:
    try:
        check_label_meaning(planes, lambda _: DARK, **known)
    except LabelQuestion as error:
        return error
    return None


def topic(planes: Mapping[int, Any], **known: Any) -> str | None:
    error = question(planes, **known)
    return error.topic if error else None


TWO_CLASSES = labels_of((1, 30, 40, 10), (2, 50, 110, 25))
STROKES = np.zeros_like(TWO_CLASSES)
STROKES[20:22, 10:90], STROKES[60:62, 10:90] = 1, 2


@pytest.mark.parametrize("axis", [0, 1])
def test_labels_that_were_painted_in_another_view(axis: int) -> None:
    line = np.zeros_like(TWO_CLASSES)
    line[40 if axis == 0 else slice(20, 50), 40 if axis == 1 else slice(20, 50)] = 1
    planes = {3: line, 4: line}
    assert "lie in one line of 2 frames" in str(question(planes))
    assert topic({**planes, 5: line}) == "view"
    assert topic(planes, kind="scribble") is None
    assert topic({3: line}) is None
    assert topic({3: line, 4: np.roll(line, 1, axis)}) is None


def test_the_smaller_neighbour_of_a_drawn_frame_may_be_a_mark_of_a_brush() -> None:
    drawn, other, spot = (labels_of((1, 40, 50, radius)) for radius in (30, 20, 3))
    found = question({3: other, 4: drawn, 5: spot})
    assert found is not None
    assert (found.topic, found.value) == ("spill", 4)
    # An annotation of many frames, of which some are finished.
    assert topic({3: other, 4: drawn, 5: spot, 6: other}) is None


def test_equal_labels_on_all_frames_are_meant_in_any_order() -> None:
    drawn = labels_of((1, 40, 50, 30))
    for order in ((3, 4, 5), (4, 3, 5)):
        assert topic(dict.fromkeys(order, drawn)) is None


def test_strokes_on_one_of_several_frames() -> None:
    assert topic({0: TWO_CLASSES, 9: STROKES}) == "strokes"
    assert topic({0: TWO_CLASSES, 9: TWO_CLASSES}) is None
    # A single thin class may be a vessel.
    assert topic({0: TWO_CLASSES, 9: STROKES * (STROKES == 1)}) is None


def test_only_some_of_many_frames_are_read() -> None:
    read: list[int] = []

    def frame(index: int) -> Any:
        read.append(index)
        return DARK

    check_label_meaning(dict.fromkeys(range(17), TWO_CLASSES), frame)
    assert 4 <= len(read) <= 8
    assert max(read) - min(read) >= 12


def test_two_values_that_cover_some_of_the_frames() -> None:
    covering = np.where(TWO_CLASSES == 2, 2, 1)
    assert topic({0: covering, 9: covering}) == "full"
    assert topic({0: covering, 9: TWO_CLASSES}) is None


@pytest.mark.parametrize(
    ("count", "listed"), [(1, "1"), (2, "1 and 2"), (3, "1, 2 and 3"), (4, "1 to 4")]
)
def test_classes_beside_a_value_of_unknown_pixels_are_listed(count: int, listed: str) -> None:
    labels = labels_of(*((value, 48, 30 * value, 10) for value in range(1, count + 1)))
    labels[:20] = 255
    assert f"contain 255 beside {listed}, as if" in str(question({0: labels}))


@pytest.mark.parametrize(("classes", "asked"), [([63], True), ([64], False), ([1, 64], False)])
def test_a_value_above_four_times_the_highest_class(classes: list[int], asked: bool) -> None:
    labels = labels_of(*((value, 48, 40 * at, 15) for at, value in enumerate(classes, start=1)))
    labels[:20] = 255
    assert topic({0: labels}) == ("void" if asked else None)


def with_stripe(height: int) -> Any:
    labels = labels_of((128, 50, 60, 30))
    labels[:height] = 255
    return labels


def test_a_border_of_up_to_six_pixels_on_every_frame() -> None:
    assert topic({0: with_stripe(6), 9: with_stripe(4)}) == "void"
    assert topic({0: with_stripe(8)}) is None
    assert topic({0: with_stripe(6), 9: with_stripe(20)}) is None


def test_the_highest_value_on_a_background_is_a_class() -> None:
    labels = np.where(TWO_CLASSES > 0, 255, 1)
    assert topic({0: labels}, background=1) is None
