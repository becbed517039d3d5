"""Validation of annotations before anything is loaded."""

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
"""Share of the smaller annotation that may contradict another one, as borders drawn by hand do.
Contradicting pixels are ignored in training."""


def check_annotations(references: Sequence[Reference], frames: int) -> None:
    """Check that annotations are suitable for training.

    Parameters
    ----------
    references : sequence of Reference
    frames : int
        Number of frames of the stack.

    Raises
    ------
    InputError
        If there is no annotation, one lies beyond the stack, a class covers nothing or everything,
        or two annotations contradict each other.
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
    for frame, same_frame in sorted(by_frame.items()):
        for first, second in combinations(same_frame, 2):
            _check_pair(frame, first, second)


def _check_background(references: Sequence[Reference]) -> None:
    for class_id in class_ids_of(references):
        same_class = [r for r in references if r.class_id == class_id]
        others = {r.frame for r in references if r.class_id != class_id and r.kind != "box"}
        if all(
            r.sparse and r.negative is None and (r.frame is None or r.frame not in others)
            for r in same_class
        ):
            raise InputError(
                f"Class {class_id} is annotated by points, scribbles or partial masks only, which "
                "do not show the background: mark some of the background, or paint a complete mask."
            )


def _check_pair(frame: int, first: Reference, second: Reference) -> None:
    if first.class_id != second.class_id:
        # The corners of a box may belong to another class.
        if "box" in (first.kind, second.kind):
            return
        marked = first.mask > 0.5, second.mask > 0.5
        disputed = np.count_nonzero(marked[0] & marked[1])
        if disputed > TOLERANCE * min(map(np.count_nonzero, marked)):
            raise InputError(
                f"On frame {frame}, {disputed} pixels are marked both as class {first.class_id} "
                f"and as class {second.class_id}: assign each pixel to one class."
            )
        return
    for one, other in ((first, second), (second, first)):
        if one.kind != "mask" or other.kind == "box":
            continue
        disputed = np.count_nonzero((one.mask <= 0.5) & (other.mask > 0.5))
        if disputed > TOLERANCE * np.count_nonzero(other.mask > 0.5):
            raise InputError(
                f"On frame {frame}, {disputed} pixels are marked as class {one.class_id} by one "
                "annotation and as background by another: merge the two, or delete one."
            )
