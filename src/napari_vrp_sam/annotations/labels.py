"""Label images: conversion to references, and checks."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
from napari_vrp_sam.errors import InputError

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
) -> list[Reference]:
    """Return a reference for each class of an annotated frame.

    Parameters
    ----------
    labels_frame : ndarray, shape (Y, X), integer or bool
        Class of each pixel; 0 is background or, for sparse annotations, unknown.
    image_frame : ndarray, shape (Y, X, C) or (Y, X)
        Annotated frame.
    kind : {"point", "scribble", "box", "mask"}
        Kind of annotation; unmarked pixels of points and scribbles are unknown.
    frame : int, optional
        Index of the frame in its stack.

    Returns
    -------
    list of Reference
        In ascending order of their classes.

    Raises
    ------
    InputError
        If the labels are not integers, are negative, are all 0, differ in shape from the image, or
        have more than `MAX_CLASSES` values.
    """
    labels = check_labels_dtype(np.asarray(labels_frame))
    if labels.shape != np.shape(image_frame)[:2]:
        raise InputError(
            f"The labels have the shape {labels.shape}, but their image has "
            f"{np.shape(image_frame)[:2]}: use labels of the same size."
        )
    class_ids = sorted(labels_in(labels))
    if not class_ids:
        raise InputError("The annotation is empty: mark at least one pixel of a class.")
    if class_ids[0] < 0:
        raise InputError(
            f"The labels hold the negative value {class_ids[0]}: classes start at 1, "
            "0 is background."
        )
    check_class_count(class_ids)  # before masks of many objects fill the memory
    return [
        Reference(image_frame, labels == class_id, class_id, kind, frame) for class_id in class_ids
    ]


def labels_in(labels: NDArray[Any]) -> set[int]:
    """Return the values of a label image other than 0."""
    return {int(value) for value in np.unique(labels[labels != 0])}


def check_class_count(class_ids: Collection[int]) -> None:
    """Refuse more than `MAX_CLASSES` classes.

    Parameters
    ----------
    class_ids : collection of int
        Different label values found so far.

    Raises
    ------
    InputError
        If there are too many.
    """
    if len(class_ids) > MAX_CLASSES:
        raise InputError(
            f"The annotation has at least {len(class_ids)} different labels, but each label is a "
            f"class, at most {MAX_CLASSES}: give all objects of a class the same label."
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


def labels_checksum(labels: NDArray[Any]) -> int:
    """Return the CRC-32 of a label image, which depends on its dtype."""
    return zlib.crc32(np.ascontiguousarray(labels).data)
