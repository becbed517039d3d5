"""Whether annotations can teach anything, told before anything is loaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.segmentation_job import check_references

TOLERANCE = 0.05
"""Share of the smaller annotation in which two may contradict each other: borders drawn by hand
overlap. There neither teaches anything."""


def check_annotations(references: Sequence[Reference], frames: int) -> None:
    """Refuse annotations that teach nothing, or opposite things.

    Parameters
    ----------
    references : sequence of Reference
    frames : int
        Number of frames of the stack.

    Raises
    ------
    InputError
        If there is none, one lies beyond the stack, a class is shown nowhere or everywhere, or two
        contradict each other.
    """
    if references and all(reference.empty for reference in references):
        raise InputError(
            "The annotated frames show background only: mark a class on at least one of them."
        )
    check_references(references, frames)
    _check_background(references)
    by_frame: dict[int, list[Reference]] = defaultdict(list)
    for reference in references:
        if reference.frame is not None:
            by_frame[reference.frame].append(reference)
    for frame, own in sorted(by_frame.items()):
        for first, second in combinations(own, 2):
            _check_pair(frame, first, second)


def _check_background(references: Sequence[Reference]) -> None:
    """Refuse a class that is marked, but nowhere told apart from anything."""
    for class_id in class_ids_of(references):
        own = [r for r in references if r.class_id == class_id]
        others = {r.frame for r in references if r.class_id != class_id and r.kind != "box"}
        if all(r.sparse and (r.frame is None or r.frame not in others) for r in own):
            raise InputError(
                f"Class {class_id} is marked by points or scribbles alone, which say nothing about "
                "the background: mark that as another class, or paint a mask."
            )


def _check_pair(frame: int, first: Reference, second: Reference) -> None:
    marked, also = first.mask > 0.5, second.mask > 0.5
    if first.class_id != second.class_id:
        # The corners of a box show other things.
        if "box" in (first.kind, second.kind):
            return
        disputed = np.count_nonzero(marked & also)
        smaller = min(np.count_nonzero(marked), np.count_nonzero(also))
        if disputed > TOLERANCE * smaller:
            raise InputError(
                f"On frame {frame}, {disputed} pixels are marked as class {first.class_id} and as "
                f"class {second.class_id}: leave each of them to one class."
            )
        return
    for one, other in ((first, second), (second, first)):
        if one.kind != "mask" or other.kind == "box":
            continue
        disputed = np.count_nonzero((one.mask <= 0.5) & (other.mask > 0.5))
        if disputed > TOLERANCE * np.count_nonzero(other.mask > 0.5):
            raise InputError(
                f"On frame {frame}, {disputed} pixels are marked as class {one.class_id} by one "
                "annotation and as background by another: join the two, or delete one."
            )
