"""Label images -> references."""

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

MOST_CLASSES = 32
"""More are numbered objects, or a picture: each would be learned for seconds, as not the others."""


class ShowsClass(Protocol):
    """Something that shows one class, such as a reference."""

    @property
    def class_id(self) -> int:
        """The class."""
        ...


def labels_dtype(class_ids: Iterable[int]) -> np.dtype[Any]:
    """Return the smallest unsigned dtype that holds all class ids."""
    return np.min_scalar_type(max(class_ids))


def class_ids_of(references: Iterable[ShowsClass]) -> tuple[int, ...]:
    """Return the classes that references show, ascending and without duplicates."""
    return tuple(sorted({reference.class_id for reference in references}))


def references_from_labels(
    labels_frame: NDArray[Any],
    image_frame: NDArray[Any],
    *,
    kind: AnnotationKind = "mask",
    frame: int | None = None,
) -> list[Reference]:
    """One reference for each class of an annotated frame.

    Parameters
    ----------
    labels_frame : ndarray, shape (Y, X), integer or bool
        The value of a pixel is its class, 0 is background (or, for a sparse kind, unknown).
    image_frame : ndarray, shape (Y, X, C) or (Y, X)
        The frame that was annotated.
    kind : {"point", "scribble", "box", "mask"}
        How it was annotated: "scribble" tells that unmarked pixels are unknown.
    frame : int, optional
        Index of the frame in its stack; the references of one frame share it.

    Returns
    -------
    list of Reference
        Ascending in class.

    Raises
    ------
    InputError
        If the labels are no integers, are negative, all 0, of another shape than the image, or more
        than anybody means as classes.
    """
    labels = check_labels_dtype(np.asarray(labels_frame))
    if labels.shape != np.shape(image_frame)[:2]:
        raise InputError(
            f"The labels are {labels.shape} pixels, the image {np.shape(image_frame)[:2]}: "
            "they must agree."
        )
    class_ids = sorted(labels_in(labels))
    if not class_ids:
        raise InputError("The annotation is empty: mark at least one pixel of a class.")
    if class_ids[0] < 0:
        raise InputError(
            f"The labels hold the negative value {class_ids[0]}: classes start at 1, "
            "0 is background."
        )
    check_class_count(class_ids)  # a mask for each of many objects would fill the memory
    return [
        Reference(image_frame, labels == class_id, class_id, kind, frame) for class_id in class_ids
    ]


def labels_in(labels: NDArray[Any]) -> set[int]:
    """The values other than 0."""
    return {int(value) for value in np.unique(labels[labels != 0])}


def check_class_count(class_ids: Collection[int]) -> None:
    """Refuse more classes than anybody means.

    Parameters
    ----------
    class_ids : collection of int
        The different labels that were found so far.

    Raises
    ------
    InputError
        If they are more than `MOST_CLASSES`.
    """
    if len(class_ids) > MOST_CLASSES:
        raise InputError(
            f"The annotation has at least {len(class_ids)} different labels, and each label is a "
            f"class, {MOST_CLASSES} at most: give all objects of a class the same label."
        )


def check_labels_dtype(labels: Any) -> Any:
    """The array itself if its dtype can hold labels; lazy arrays are not read.

    Raises
    ------
    InputError
        If the dtype is neither integer nor bool.
    """
    if np.dtype(labels.dtype).kind not in "biu":
        raise InputError(
            f"Labels must be integers, these are {labels.dtype}: convert them, or pick the label "
            "image instead of the picture."
        )
    return labels


def labels_checksum(labels: NDArray[Any]) -> int:
    """Equal for equal labels of one type."""
    return zlib.crc32(np.ascontiguousarray(labels).data)
