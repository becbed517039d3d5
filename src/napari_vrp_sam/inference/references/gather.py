"""References from label images or from other references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.label_questions import (
    check_label_meaning,
    labels_in,
)
from napari_vrp_sam.annotations.labels import (
    check_class_count,
    check_labels_dtype,
    check_special_values,
    merge_classes,
    references_from_labels,
)
from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.arguments import as_array
from napari_vrp_sam.inference.frames import Frames, read_selection
from napari_vrp_sam.inference.references.drawn import drawn_references
from napari_vrp_sam.inference.references.large import NO_LABELS, large_label_references
from napari_vrp_sam.io.references.annotations import StoredAnnotations


def gather_references(
    frames: Frames,
    annotations: Any,
    *,
    reference_frame: int | Sequence[int] | None = None,
    annotation_kind: AnnotationKind | None = None,
    background: int | None = None,
    ignore: int | None = None,
    one_class: bool | None = None,
) -> list[Reference]:
    """Return the references that an annotation of a stack contains.

    Parameters
    ----------
    frames : Frames
        The annotated stack.
    annotations : integer array, StoredAnnotations or sequence of Reference
        Labels of the stack's `label_shape` or of one frame; frame by frame if lazy.
    reference_frame : int or sequence of int, optional
        The annotated frame: its index, or its position along the leading axes. Of a label stack,
        the only frame to use.
    annotation_kind : {"mask", "partial", "scribble", "box", "point"}, optional
        Default: "mask", unless the labels look like strokes.
    background : int, optional
        Label value of pixels that belong to no class, such as strokes on look-alikes.
    ignore : int, optional
        Label value of pixels that are excluded from learning.
    one_class : bool, optional
        True: all label values are the same class, such as numbered objects. False: each value is a
        class. Default: each value is a class, unless the labels look like something else.

    Returns
    -------
    list of Reference
        One for each annotated frame and class. A frame with pixels of the label `background` gives
        one for every class.

    Raises
    ------
    InputError
        If nothing is annotated, or the labels do not match the stack.
    LabelQuestion
        If the labels look like numbered objects, strokes, or contain a value that usually marks
        unknown pixels, and no argument says what they are.
    """
    if isinstance(annotations, Reference):
        return [annotations]
    if isinstance(annotations, Sequence) and all(isinstance(r, Reference) for r in annotations):
        return list(annotations)
    check_special_values(background, ignore)
    if isinstance(annotations, StoredAnnotations):
        stored = annotations
        if stored.drawings:
            return drawn_references(
                frames,
                stored.drawings,
                chosen=_frame_index(frames, reference_frame),
                kind=annotation_kind or stored.kind,
                one_class=one_class,
            )
        annotations = stored.labels
        one_class = stored.one_class if one_class is None else one_class
        ignore = stored.ignore if ignore is None and stored.ignore != background else ignore
        annotation_kind = annotation_kind or stored.kind
    labels = as_array(annotations, "annotation")
    check_labels_dtype(labels)
    shape = tuple(labels.shape)
    one_frame = shape[-2:] == frames.frame_shape and np.prod(shape[:-2]) == 1
    if not one_frame and shape != frames.label_shape:
        one = f", or {frames.frame_shape} for one frame" if frames.lead_shape else ""
        raise InputError(
            f"The labels have the shape {shape}, but the image needs {frames.label_shape}{one}: "
            "give the labels of this image."
        )
    chosen = _frame_index(frames, reference_frame)
    if one_frame and chosen is None and len(frames) > 1:
        channels = " or, if these are channels, `axes` CYX" if frames.axes == "ZYX" else ""
        raise InputError(
            f"The labels show one frame, but the stack has {len(frames)}: give the annotated frame "
            f"(`reference_frame`){channels}."
        )
    if frames.too_large:
        return large_label_references(
            frames,
            [index for index in range(len(frames)) if chosen in (None, index)],
            lambda index, part: read_selection(
                labels,
                (*((0,) * (len(shape) - 2) if one_frame else frames.position(index)), *part),
            ),
            kind=annotation_kind,
            background=background,
            ignore=ignore,
            one_class=one_class,
        )
    drawn: dict[int, NDArray[Any]] = {}
    class_ids: set[int] = set()
    for index in range(len(frames)) if chosen is None else (chosen,):
        at = (0,) * (len(shape) - 2) if one_frame else frames.position(index)
        plane = np.ma.filled(read_selection(labels, at), 0)  # what is masked has no label
        if plane.any():
            plane = merge_classes(plane, (background, ignore)) if one_class else plane
            drawn[index] = plane
            # Checked before masks are made, because masks of many objects would fill the memory.
            class_ids |= labels_in(plane) - {background, ignore}
            check_class_count(class_ids)
    if not class_ids:
        raise InputError(NO_LABELS)
    check_label_meaning(
        drawn,
        frames.__getitem__,
        kind=annotation_kind,
        one_class=one_class,
        background=background,
        ignore=ignore,
    )
    return [
        reference
        for index, plane in drawn.items()
        if labels_in(plane) - {ignore}
        for reference in references_from_labels(
            plane,
            frames[index],
            kind=annotation_kind or "mask",
            frame=index,
            background=background,
            ignore=ignore,
            class_ids=class_ids,
        )
    ]


def _frame_index(frames: Frames, frame: int | Sequence[int] | None) -> int | None:
    if frame is None:
        return None
    if isinstance(frame, Sequence):
        return frames.index(frame)
    if not 0 <= frame < len(frames):
        raise InputError(
            f"There is no frame {frame}: the stack has {len(frames)} frames, counted from 0, "
            f"because its shape {frames.shape} is read as {frames.axes}; choose another frame, or "
            "other axes."
        )
    return int(frame)
