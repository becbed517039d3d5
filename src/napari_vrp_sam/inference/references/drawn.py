"""References from drawings that files store: polygons, lines, boxes and points on frames."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_vrp_sam.annotations.labels import check_class_count
from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.out_of_core.scratch import zeros
from napari_vrp_sam.inference.references.large import large_drawn_references
from napari_vrp_sam.io.images.stacks import frame_file_names
from napari_vrp_sam.io.metadata import ImageMetadata
from napari_vrp_sam.io.references.annotations import AnnotatedStack, Drawing, StoredAnnotations
from napari_vrp_sam.io.references.rasterise import FrameMasks
from napari_vrp_sam.io.references.reading import read_annotations

logger = logging.getLogger(__name__)


def read_reference(
    path: str | os.PathLike[str],
    frames: Frames,
    *,
    image: str | os.PathLike[str] | None = None,
    metadata: ImageMetadata | None = None,
    class_column: str | None = None,
) -> StoredAnnotations:
    """Read the annotations of a stack from a file of any supported format.

    Parameters
    ----------
    path : str or path
        See `read_annotations`.
    frames : Frames
        The annotated stack.
    image : str or path, optional
        Its file or folder: files of a folder are frames with names.
    metadata : ImageMetadata, optional
        Its place on a map, if it has one.
    class_column : str, optional
        Attribute or column with the class of each shape or point.

    Raises
    ------
    InputError
        If the file cannot be read, or does not belong to the stack.
    """
    stack = AnnotatedStack(
        frames.frame_shape,
        "".join(axis for axis in frames.axes if axis in "TZ"),
        frames.lead_shape,
        None if image is None else Path(image).absolute(),
        () if image is None else tuple(frame_file_names(image)),
        metadata or ImageMetadata(),
    )
    return read_annotations(path, stack, class_column=class_column)


def drawn_references(
    frames: Frames,
    drawings: Sequence[Drawing],
    *,
    chosen: int | None = None,
    kind: AnnotationKind | None = None,
    one_class: bool | None = None,
) -> list[Reference]:
    """Return a reference for each frame and class of drawings.

    Parameters
    ----------
    frames : Frames
        The annotated stack.
    drawings : sequence of Drawing
    chosen : int, optional
        Index of the annotated frame, if the user states it.
    kind : {"point", "scribble", "partial", "box", "mask"}, optional
        Kind of the polygons, ellipses and masks; default: "mask".
    one_class : bool, optional
        True: all classes are class 1.

    Raises
    ------
    InputError
        If the frame of a drawing is not known, or all lie outside the image.
    """
    if one_class:
        drawings = [replace(drawing, class_id=1) for drawing in drawings]
    by_frame = _by_frame(frames, drawings, chosen)
    masks = {
        index: FrameMasks(found, frames.frame_shape, kind, zeros)
        for index, found in by_frame.items()
    }
    outside = sum(found.outside for found in masks.values())
    used = sum(map(len, by_frame.values())) - outside
    if not used:
        raise InputError(
            "All annotations lie outside the image: give the image that was annotated, or "
            "annotations in its pixels or its CRS."
        )
    if outside:
        logger.warning(
            "%d of %d annotations lie outside the image and are not used.", outside, outside + used
        )
    class_ids = {class_id for found in masks.values() for class_id in found.classes}
    check_class_count(class_ids)
    if not class_ids:
        raise InputError("There is no annotation of a class, only of background: annotate one.")
    if frames.too_large:
        return large_drawn_references(frames, masks, class_ids)
    return [
        reference
        for index in sorted(masks)
        for reference in _frame_references(frames, index, masks[index], sorted(class_ids))
    ]


def _by_frame(
    frames: Frames, drawings: Iterable[Drawing], chosen: int | None
) -> dict[int, list[Drawing]]:
    """Assign drawings to frames: the chosen one if the file shows one frame, else their own."""
    found: dict[int | None, list[Drawing]] = defaultdict(list)
    for drawing in drawings:
        found[drawing.frame].append(drawing)
    unplaced = found.pop(None, [])
    placed = {index: group for index, group in found.items() if index is not None}
    if chosen is not None:
        if len(placed) <= 1:  # the frame may have been annotated as a separate image
            return {chosen: [*unplaced, *(d for group in placed.values() for d in group)]}
        if chosen not in placed:
            listed = ", ".join(map(str, sorted(placed)[:10]))
            raise InputError(
                f"There is no annotation on frame {chosen}: the file annotates the frames {listed}."
            )
        return {chosen: placed[chosen] + unplaced}
    if unplaced:
        if len(frames) > 1:
            raise InputError(
                f"The annotations do not say their frame, but the stack has {len(frames)}: give "
                "the annotated frame (`reference_frame`)."
            )
        placed.setdefault(0, []).extend(unplaced)
    return placed


def _frame_references(
    frames: Frames, index: int, masks: FrameMasks, class_ids: Sequence[int]
) -> list[Reference]:
    """Return references of the classes on a frame; background applies to all classes."""
    image = frames[index]
    background = masks.background if masks.background.any() else None
    ignored = masks.ignored if masks.ignored.any() else None
    nothing = np.zeros(frames.frame_shape, np.bool_)
    absent: AnnotationKind = "partial"
    return [
        Reference(image, mask.astype(np.float32), class_id, kind, index, ignored, background)
        for class_id in class_ids
        for mask, kind in [masks.classes.get(class_id, (nothing, absent))]
        if class_id in masks.classes or background is not None
    ]
