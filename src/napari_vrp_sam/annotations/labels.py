"""Label images: conversion to references, and checks."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.label_questions import LabelQuestion, labels_in
from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
from napari_vrp_sam.errors import InputError

CHECKED_ROWS = 1024
"""Rows of a label image that are read at a time."""

IGNORED = 255
"""Value of pixels in semantic masks that are excluded from training and evaluation."""

MAX_CLASSES = 32
"""Labels with more values are numbered objects, or an image: each class takes seconds to learn."""


class HasClass(Protocol):
    """Object with a class, such as a reference."""

    @property
    def class_id(self) -> int:
        """Label value of the class."""
        ...


def labels_dtype(class_ids: Iterable[int]) -> np.dtype[Any]:
    """Return the smallest unsigned dtype that holds all class ids."""
    return np.min_scalar_type(max(class_ids))


def class_ids_of(references: Iterable[HasClass]) -> tuple[int, ...]:
    """Return the classes of references in ascending order, without duplicates."""
    return tuple(sorted({reference.class_id for reference in references}))


def references_from_labels(
    labels_frame: NDArray[Any],
    image_frame: NDArray[Any],
    *,
    kind: AnnotationKind = "mask",
    frame: int | None = None,
    background: int | None = None,
    ignore: int | None = None,
    class_ids: Collection[int] = (),
) -> list[Reference]:
    """Return a reference for each class of an annotated frame.

    Parameters
    ----------
    labels_frame : ndarray, shape (Y, X), integer or bool
        Class of each pixel; 0 is background or, for sparse annotations, unlabelled.
    image_frame : ndarray, shape (Y, X, C) or (Y, X)
        Annotated frame.
    kind : {"point", "scribble", "partial", "box", "mask"}
        Kind of annotation; unlabelled pixels of points, scribbles and partial masks are unknown.
    frame : int, optional
        Index of the frame in its stack.
    background : int, optional
        Label value of pixels that belong to no class.
    ignore : int, optional
        Label value of pixels that are excluded from learning.
    class_ids : collection of int
        Classes that other frames show: those without a label on this frame get a reference, too,
        if the frame has pixels of the label `background`.

    Returns
    -------
    list of Reference
        In ascending order of their classes.

    Raises
    ------
    InputError
        If the labels are not integers, are negative, are all 0, differ in shape from the image, or
        have more than `MAX_CLASSES` values, or if `background` and `ignore` are equal or 0.

    Examples
    --------
    Scribbles on a class, with the label 1, and on its background, with the label 2:

    >>> image, labels = np.zeros((32, 32)), np.zeros((32, 32), dtype=int)
    >>> labels[4:9, 4:9], labels[20, 4:20] = 1, 2
    >>> (reference,) = references_from_labels(labels, image, kind="scribble", background=2)
    >>> int(reference.mask.sum()), int(reference.negative.sum())
    (25, 16)
    """
    check_special_values(background, ignore)
    labels = check_labels_dtype(np.asarray(labels_frame))
    if labels.shape != np.shape(image_frame)[:2]:
        raise InputError(
            f"The labels have the shape {labels.shape}, but their image has "
            f"{np.shape(image_frame)[:2]}: use labels of the same size."
        )
    drawn = sorted(labels_in(labels) - {background, ignore})
    negative = None if background is None else labels == background
    absent = set(class_ids) - set(drawn) if negative is not None and negative.any() else set()
    if not drawn and not absent:
        raise InputError("The annotation is empty: mark at least one pixel of a class.")
    if drawn and drawn[0] < 0:
        raise LabelQuestion(
            "negative", f"contain the negative value {drawn[0]}, which is no class", drawn[0]
        )
    check_class_count(drawn)  # before masks of many objects fill the memory
    ignored = None if ignore is None else labels == ignore
    ignored = ignored if ignored is not None and ignored.any() else None
    # A stroke on the background says nothing about the rest of a frame without the class.
    return [
        Reference(
            image_frame,
            labels == class_id,
            class_id,
            "partial" if class_id in absent else kind,
            frame,
            ignored,
            negative,
        )
        for class_id in sorted({*drawn, *absent})
    ]


def check_special_values(background: int | None, ignore: int | None) -> None:
    """Raise `InputError` if the label values of background and ignored pixels cannot be used."""
    for name, value in (("background", background), ("ignored pixels", ignore)):
        if value == 0:
            raise InputError(
                f"The label value of {name} cannot be 0, the value of unlabelled pixels: choose "
                "another value."
            )
    if background is not None and background == ignore:
        raise InputError(
            f"The label value {background} cannot mean both background and ignored pixels: choose "
            "another value for one of them."
        )


def merge_classes(labels: NDArray[Any], keep: Collection[int | None] = ()) -> NDArray[Any]:
    """Return labels whose positive values are class 1, except for the values to keep."""
    # Negative labels remain, and are refused.
    kept = [value for value in keep if value is not None]
    return np.where(np.isin(labels, kept), labels, np.minimum(labels, 1))


def check_class_count(class_ids: Collection[int]) -> None:
    """Refuse more than `MAX_CLASSES` classes.

    Parameters
    ----------
    class_ids : collection of int
        Different label values found so far.

    Raises
    ------
    LabelQuestion
        If there are too many.
    """
    if len(class_ids) > MAX_CLASSES:
        raise LabelQuestion(
            "count",
            f"have at least {len(class_ids)} different values, more than the {MAX_CLASSES} classes "
            "that can be learned",
        )


def check_labels_dtype(labels: Any) -> Any:
    """Return an array if its dtype is integer or bool; lazy arrays are not read.

    Raises
    ------
    InputError
        If it has another dtype.
    """
    if np.dtype(labels.dtype).kind not in "biu":
        raise InputError(
            f"Labels must be integers, not {labels.dtype}: convert them, or choose the label image "
            "instead of the image."
        )
    return labels


def labels_checksum(labels: Any) -> int:
    """Return the CRC-32 of a label image, which depends on its dtype; read in parts."""
    checksum = 0
    for top in range(0, len(labels), CHECKED_ROWS):
        rows = np.ascontiguousarray(labels[top : top + CHECKED_ROWS])
        checksum = zlib.crc32(rows.data, checksum)
    return checksum
