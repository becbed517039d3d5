"""Questions about label images that probably do not mean what would be learned from them.

Other programs write numbered objects, strokes with a label for the background, and values for
pixels without a class in the same kinds of files as classes. Each of them is recognised by its
geometry and answered by an argument, which silences the question.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.label_shapes import (
    ReadFrame,
    are_objects,
    are_strokes,
    is_thin,
)
from napari_vrp_sam.annotations.reference import SPARSE_KINDS, AnnotationKind
from napari_vrp_sam.errors import InputError

Topic = Literal["objects", "strokes", "spill", "view", "void", "negative", "count", "full"]

SUBJECT = "The labels"
"""First words of every question."""
FIXES: dict[Topic, str] = {
    "objects": "give `one_class=True` if they are objects of one class, or `one_class=False` if "
    "each value is a class",
    "strokes": 'give `annotation_kind="scribble"`, and `background={value}` if {value} marks the '
    'background; or `annotation_kind="mask"` if all unlabelled pixels are background',
    "spill": 'give `reference_frame={value}` to use that frame only, `annotation_kind="partial"` '
    'if some objects are not labelled, or `annotation_kind="mask"` if all are',
    "view": 'give `annotation_kind="scribble"` if they are strokes, '
    '`annotation_kind="mask"` if they are complete, or labels of whole frames',
    "void": "give `ignore={value}` if their class is unknown, `background={value}` if they belong "
    "to no class, or `one_class=False` if {value} is a class",
    "negative": "give `ignore={value}` if it marks unknown pixels, or `background={value}` if it "
    "marks pixels of no class",
    "full": "give `background={value}` if {value} marks the background, or `one_class=False` if "
    "each value is a class",
    "count": "give `one_class=True` if they are objects of one class, or labels of which each "
    "value is a class",
}
VOID_VALUES = (255, 65535)
"""Highest values of unsigned integers, which mean "unknown" in many datasets."""
MAX_FRAMES = 8
"""Largest number of frames that are searched; of more, a sample is."""


class LabelQuestion(InputError):  # noqa: N818
    """Labels that probably do not mean what would be learned from them.

    Parameters
    ----------
    topic : {"objects", "strokes", "spill", "view", "void", "negative", "count", "full"}
    finding : str
        Predicate of a sentence about the labels, such as "look like strokes".
    value : int, optional
        Label value in question.
    """

    def __init__(self, topic: Topic, finding: str, value: int | None = None) -> None:
        self.topic, self.finding, self.value = topic, finding, value
        super().__init__(self.text(SUBJECT, FIXES))

    def __reduce__(self) -> Any:
        return type(self), (self.topic, self.finding, self.value)

    def text(self, subject: str, fixes: Mapping[Topic, str]) -> str:
        """Return the question as a sentence, with the fixes that an interface offers."""
        return f"{subject} {self.finding}: {fixes[self.topic].format(value=self.value)}."


def check_label_meaning(
    planes: Mapping[int, NDArray[Any]],
    read_frame: ReadFrame,
    *,
    kind: AnnotationKind | None = None,
    one_class: bool | None = None,
    background: int | None = None,
    ignore: int | None = None,
    spots: bool = True,
) -> None:
    """Ask what labels mean if they are probably not what would be learned.

    Parameters
    ----------
    planes : mapping of int to ndarray, shape (Y, X), integer or bool
        Labels by index of the frame.
    read_frame : callable
        Return an annotated frame, shape (Y, X, C), given its index.
    kind : {"point", "scribble", "partial", "box", "mask"}, optional
        Kind of annotation that the user states; None if it is taken to be a mask.
    one_class : bool, optional
        Statement of the user that all values are one class, or that each is a class: no questions.
    background, ignore : int, optional
        Values whose meaning the user states.
    spots : bool
        Whether small labels beside a frame with large ones may come from a brush of three
        dimensions, not from an annotation in progress.

    Raises
    ------
    LabelQuestion
        If the labels look like numbered objects, like strokes, contain a value that usually marks
        pixels without a class, or cover whole frames with two values.
    """
    if kind is None and _are_of_another_view(planes.values()):
        raise LabelQuestion(
            "view",
            f"lie in one line of {len(planes)} frames, as if they were painted in another view",
        )
    spilled = None if kind is not None else _spilled(planes, spots=spots)
    if spilled is not None:
        least, most = spilled
        raise LabelQuestion(
            "spill",
            f"of frame {least} look like what a brush leaves beside the labels of frame {most}",
            most,
        )
    values = {index: labels_in(plane) - {ignore} for index, plane in planes.items()}
    everything = set[int]().union(*values.values())
    if one_class is not None or len(everything) < 2:
        return
    for value in VOID_VALUES:
        others = everything - {value, background}
        if value in everything - {background} and _is_void(value, others, planes.values()):
            raise LabelQuestion(
                "void",
                f"contain {value} beside {_listed(others)}, as if it marked unknown pixels",
                value,
            )
    full = len(everything) == 2 and all(plane.all() for plane in planes.values())
    if full and kind is None and background is None:
        # As a segmentation of ilastik does, in which one of both is the background.
        areas = {v: sum(np.count_nonzero(p == v) for p in planes.values()) for v in everything}
        larger = max(everything, key=lambda value: areas[value])
        raise LabelQuestion("full", f"cover whole frames with {_listed(everything)}", larger)
    step = -(-len(planes) // MAX_FRAMES)
    planes = {index: planes[index] for index in sorted(planes)[::step]}
    if kind is None and any(
        are_strokes(plane, read_frame(index), values[index])
        for index, plane in planes.items()
        if len(values[index]) > 1
    ):
        likely = max(everything) if background is None else background
        raise LabelQuestion(
            "strokes", f"look like strokes ({_listed(everything)}), not like masks", likely
        )
    values = {index: found - {background} for index, found in values.items()}
    if kind not in SPARSE_KINDS - {"partial"} and are_objects(planes, read_frame, values):
        count = len(everything - {background})
        raise LabelQuestion(
            "objects", f"look like numbered objects ({count} values, one object each)"
        )


def labels_in(labels: NDArray[Any]) -> set[int]:
    """Return the values of a label image other than 0."""
    return {int(value) for value in np.unique(labels[labels != 0])}


def _listed(values: Iterable[int]) -> str:
    ordered = sorted(values)
    if len(ordered) > 3:
        return f"{ordered[0]} to {ordered[-1]}"
    return " and ".join(map(str, ordered)) if len(ordered) < 3 else "{}, {} and {}".format(*ordered)


def _is_void(value: int, others: set[int], planes: Iterable[NDArray[Any]]) -> bool:
    """Return True for a value far above all classes, or for thin borders of this value."""
    if not others:
        return False
    if max(others) <= value // 4:
        return True
    marked = [plane == value for plane in planes]
    return all(is_thin(mask, radius=3) for mask in marked if mask.any())


def _are_of_another_view(planes: Collection[NDArray[Any]]) -> bool:
    """Return True if the labels of several frames lie in the same row, or in the same column."""
    if len(planes) < 2:
        return False
    return any(
        np.count_nonzero(np.any([plane.any(axis=axis) for plane in planes], axis=0)) == 1
        for axis in (0, 1)
    )


def _spilled(planes: Mapping[int, NDArray[Any]], *, spots: bool) -> tuple[int, int] | None:
    """Return a frame that a brush of three dimensions touched, and the one that was drawn on.

    Beside a drawn frame, such a brush leaves either small spots, or the same labels on both sides.
    """
    if len(planes) < 2:
        return None
    areas = {index: np.count_nonzero(plane) for index, plane in planes.items()}
    most = max(areas, key=lambda index: areas[index])
    sides = [index for index in (most - 1, most + 1) if index in planes]
    if spots and len(planes) <= 3 and sides:
        least = min(sides, key=lambda index: areas[index])
        if areas[least] < 0.05 * areas[most]:
            return least, most
    if len(sides) == 2 and areas[sides[0]] < areas[most]:
        before, after = (planes[index] for index in sides)
        within = (before[before != 0] == planes[most][before != 0]).all()
        if within and np.array_equal(before, after):
            return sides[0], most
    return None
