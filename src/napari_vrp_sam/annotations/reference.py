"""References: annotated frames, from which VRP-SAM learns a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError

AnnotationKind = Literal["point", "scribble", "box", "mask"]
"""Kind of annotation (paper, section 3.2). Points and scribbles are sparse: unmarked pixels are
unknown. Boxes and masks are dense: unmarked pixels are background."""

ANNOTATION_KINDS: tuple[AnnotationKind, ...] = get_args(AnnotationKind)
SPARSE_KINDS: frozenset[str] = frozenset({"point", "scribble"})


@dataclass(frozen=True, eq=False)
class Reference:
    """Frame with an annotation of one class.

    Parameters
    ----------
    image : ndarray, shape (Y, X, C) or (Y, X)
        Annotated frame in the original intensities, of any real dtype. A missing channel axis is
        added.
    mask : ndarray, shape (Y, X)
        Annotation in 0..1, converted to float32. If all is 0, for the kind "mask", the frame does
        not show the class.
    class_id : int
        Label value of the class, 1 or more.
    kind : {"point", "scribble", "box", "mask"}
        Kind of annotation.
    frame : int, optional
        Index of the frame in the segmented stack; None for another image.
    ignored : ndarray of bool, shape (Y, X), optional
        Pixels of unknown class that are excluded from learning, for example blurred borders.

    Raises
    ------
    InputError
        If shapes differ, the mask exceeds 0..1 or is empty although its kind is not "mask", the
        class is below 1, or the kind or dtype is not supported.

    Examples
    --------
    >>> image, mask = np.zeros((32, 32)), np.zeros((32, 32))
    >>> mask[4:9, 4:9] = 1
    >>> reference = Reference(image, mask, kind="scribble")
    >>> reference.image.shape, reference.sparse
    ((32, 32, 1), True)
    """

    image: NDArray[Any]
    mask: NDArray[np.float32]
    class_id: int = 1
    kind: AnnotationKind = "mask"
    frame: int | None = None
    ignored: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        image = np.asarray(self.image)
        image = image[..., None] if image.ndim == 2 else image
        mask = np.asarray(self.mask, dtype=np.float32)
        if image.ndim != 3:
            raise InputError(
                f"A reference image needs the axes (Y, X) or (Y, X, C), not {image.ndim} axes: "
                "select one frame."
            )
        if image.dtype.kind not in "biuf":
            raise InputError(
                f"Images of type {image.dtype} cannot be segmented: convert them to real numbers."
            )
        if mask.shape != image.shape[:2]:
            raise InputError(
                f"The annotation has the shape {mask.shape}, but its image has {image.shape[:2]}: "
                "use a mask of the same size."
            )
        if self.ignored is not None and np.shape(self.ignored) != mask.shape:
            raise InputError(
                f"The mask of ignored pixels has the shape {np.shape(self.ignored)}, but the "
                f"annotation has {mask.shape}: use a mask of the same size."
            )
        if self.kind not in ANNOTATION_KINDS:
            raise InputError(
                f"Unknown annotation kind {self.kind!r}: use one of {', '.join(ANNOTATION_KINDS)}."
            )
        if self.class_id < 1:
            raise InputError(
                f"Class {self.class_id} is not valid: classes start at 1, 0 is background."
            )
        if self.kind != "mask" and not mask.any():
            raise InputError(
                f"The annotation of class {self.class_id} is empty: mark at least one pixel."
            )
        if not np.isfinite(mask).all() or mask.min() < 0 or mask.max() > 1:
            raise InputError(
                "The values of an annotation mask must lie between 0 and 1: rescale them."
            )
        object.__setattr__(self, "image", image)
        object.__setattr__(self, "mask", mask)

    @property
    def sparse(self) -> bool:
        """True if unmarked pixels are unknown rather than background."""
        return self.kind in SPARSE_KINDS

    @property
    def empty(self) -> bool:
        """True if the frame does not show the class."""
        return not self.mask.any()
