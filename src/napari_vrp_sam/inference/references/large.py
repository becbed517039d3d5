"""References on frames that are too large for the memory, cut to the parts with annotations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.label_questions import check_label_meaning, labels_in
from napari_vrp_sam.annotations.labels import check_class_count, merge_classes
from napari_vrp_sam.annotations.reference import FIRST_CROP, AnnotationKind, Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.out_of_core.frame_view import Part
from napari_vrp_sam.inference.out_of_core.scratch import WINDOW, windows
from napari_vrp_sam.inference.prediction.reference_crops import block_sums, choose_crops
from napari_vrp_sam.io.references.rasterise import FrameMasks

NO_LABELS = (
    "There is no annotation: annotate a class with a label of 1 or more on at least one frame."
)

Mask = NDArray[np.bool_]

CROP = 512
"""Side of the crops in pixels: with larger ones, learning would take more memory than the rest."""


@dataclass(frozen=True, eq=False)
class Marks:
    """Annotated pixels of a part of a frame: of classes, ignored, and of the background."""

    classes: Mapping[int, Mask] = field(default_factory=dict)
    ignored: Mask | None = None
    negative: Mask | None = None

    def __iter__(self) -> Iterator[tuple[int, Mask]]:
        """Yield what crops should show: classes, and the background as class 0."""
        yield from self.classes.items()
        if self.negative is not None:
            yield 0, self.negative


def large_label_references(
    frames: Frames,
    indices: Iterable[int],
    read_labels: Callable[[int, Part], NDArray[Any]],
    *,
    kind: AnnotationKind | None = None,
    background: int | None = None,
    ignore: int | None = None,
    one_class: bool | None = None,
) -> list[Reference]:
    """Return references on crops of large frames from label images; see `gather_references`.

    Parameters
    ----------
    frames : Frames
    indices : iterable of int
        Frames to search for labels.
    read_labels : callable
        Maps the index of a frame, rows and columns to labels.

    Raises
    ------
    InputError
        If nothing is annotated.
    LabelQuestion
        If the labels look like something else than classes.
    """

    def read_plane(index: int, part: Part) -> NDArray[Any]:
        plane: NDArray[Any] = np.ma.filled(read_labels(index, part), 0)
        return merge_classes(plane, (background, ignore)) if one_class else plane

    found: dict[int, list[Part]] = {}
    class_ids: set[int] = set()
    marks = {
        index: label_marks(partial(read_plane, index), background, ignore) for index in indices
    }
    for index, read in marks.items():
        shown, crops = marked_crops(read, frames.frame_shape)
        class_ids |= shown
        found |= {index: crops} if crops else {}
    if not class_ids:
        raise InputError(NO_LABELS)
    for index, (first, *_) in found.items():
        view = frames.view(index)
        check_label_meaning(
            {index: read_plane(index, first)},
            lambda _, view=view, first=first: view[first],  # type: ignore[misc]
            kind=kind,
            one_class=one_class,
            background=background,
            ignore=ignore,
        )
    kinds = dict.fromkeys(class_ids, kind or "mask")
    return _references(frames, found, marks, kinds)


def large_drawn_references(
    frames: Frames, masks: Mapping[int, FrameMasks], class_ids: Iterable[int]
) -> list[Reference]:
    """Return references on crops of large frames from drawings; see `drawn_references`."""
    marks = {index: drawn_marks(drawn) for index, drawn in masks.items()}
    found = {index: marked_crops(read, frames.frame_shape)[1] for index, read in marks.items()}
    kinds: dict[int, AnnotationKind] = dict.fromkeys(class_ids, "partial")
    for drawn in masks.values():
        kinds |= {class_id: kind for class_id, (_, kind) in drawn.classes.items()}
    return _references(frames, found, marks, kinds)


def _references(
    frames: Frames,
    found: Mapping[int, Collection[Part]],
    marks: Mapping[int, Callable[[Part], Marks]],
    kinds: Mapping[int, AnnotationKind],
) -> list[Reference]:
    references: list[Reference] = []
    number = 0
    for index, crops in found.items():
        references += cropped_references(frames, index, crops, marks[index], kinds, number)
        number += len(crops)
    return references


def drawn_marks(masks: FrameMasks) -> Callable[[Part], Marks]:
    """Return a function that reads the masks of drawings."""

    def read(part: Part) -> Marks:
        classes = {class_id: mask[part] for class_id, (mask, _) in masks.classes.items()}
        return Marks(classes, masks.ignored[part], masks.background[part])

    return read


def label_marks(
    labels: Callable[[Part], NDArray[Any]],
    background: int | None = None,
    ignore: int | None = None,
) -> Callable[[Part], Marks]:
    """Return a function that reads the masks of a label image.

    Parameters
    ----------
    labels : callable
        Maps rows and columns to labels.
    background, ignore : int, optional
        Label values of the background and of ignored pixels.
    """

    def read(part: Part) -> Marks:
        plane = labels(part)
        class_ids = labels_in(plane) - {background, ignore}
        check_class_count(class_ids)
        return Marks(
            {class_id: plane == class_id for class_id in class_ids},
            None if ignore is None else plane == ignore,
            None if background is None else plane == background,
        )

    return read


def marked_crops(
    read: Callable[[Part], Marks], size: tuple[int, int]
) -> tuple[set[int], list[Part]]:
    """Search a frame for annotations.

    Parameters
    ----------
    read : callable
        Maps rows and columns to the annotated pixels.
    size : tuple of int
        Height and width of the frame.

    Returns
    -------
    class_ids : set of int
        Annotated classes.
    crops : list of Part
        Rows and columns that show most of the annotations, as `crop_references` chooses them.
    """
    sums: dict[int, NDArray[np.float64]] = {}
    blank = block_sums(np.zeros((1, 1)), size)
    for part in windows(size, WINDOW):
        for class_id, mask in read(part):
            if mask.any():
                check_class_count({*sums, class_id} - {0})
                block_sums(mask, size, part, sums.setdefault(class_id, blank.copy()))
    crops = list(choose_crops(list(sums.values()), size, CROP)) if sums else []
    return sums.keys() - {0}, crops


def cropped_references(
    frames: Frames,
    index: int,
    crops: Collection[Part],
    read: Callable[[Part], Marks],
    kinds: Mapping[int, AnnotationKind],
    first: int = 0,
) -> list[Reference]:
    """Return references of classes on crops of a frame.

    Parameters
    ----------
    frames : Frames
    index : int
        Index of the frame.
    crops : collection of Part
    read : callable
        Maps rows and columns to the annotated pixels.
    kinds : mapping of int to str
        Kind of annotation of each class.
    first : int
        Number of crops of other frames.
    """
    view = frames.view(index)
    found = []
    for number, part in enumerate(crops, start=first):
        image, marks = view[part], read(part)
        negative = None if marks.negative is None or not marks.negative.any() else marks.negative
        ignored = None if marks.ignored is None or not marks.ignored.any() else marks.ignored
        for class_id, kind in sorted(kinds.items()):
            mask = marks.classes.get(class_id, np.zeros(image.shape[:2], np.bool_))
            if kind != "mask" and not mask.any() and negative is None:
                continue
            frame = FIRST_CROP + number
            found.append(Reference(image, mask, class_id, kind, frame, ignored, negative))  # type: ignore[arg-type]
    return found
