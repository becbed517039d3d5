"""References: annotated frames, from which VRP-SAM learns a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.missing import missing_pixels, with_nan
from napari_vrp_sam.errors import InputError

AnnotationKind = Literal["point", "scribble", "partial", "box", "mask"]
"""Kind of annotation (paper, section 3.2). Points, scribbles and partial masks, in which only some
objects are filled, are sparse: unmarked pixels are unknown. Boxes and masks are dense: unmarked
pixels are background."""

ANNOTATION_KINDS: tuple[AnnotationKind, ...] = get_args(AnnotationKind)
SPARSE_KINDS: frozenset[str] = frozenset({"point", "scribble", "partial"})
"""Kinds whose unmarked pixels are unknown."""

FIRST_CROP, LAST_CROP = -(2**31), -(2**30)
"""Range of the numbers of crops of frames that are too large for the memory, instead of indices."""

MERGE_ORDER: tuple[AnnotationKind, ...] = ("box", "mask", "partial", "scribble", "point")
"""Dense kinds before sparse ones, and less exact kinds first. Merged annotations have the first of
their kinds."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Frame with an annotation of one class.

    Parameters
    ----------
    image : ndarray, shape (Y, X, C) or (Y, X)
        Annotated frame in the original intensities, of any real dtype. A missing channel axis is
        added. Pixels that are NaN in all channels, or that a masked array masks, have no data: they
        are ignored.
    mask : ndarray, shape (Y, X)
        Annotation in 0..1, converted to float32. If all is 0, for the kind "mask", the frame does
        not show the class.
    class_id : int
        Label value of the class, 1 or more.
    kind : {"point", "scribble", "partial", "box", "mask"}
        Kind of annotation. A partial annotation is a mask of some objects of the class; the rest
        of the frame is unknown, as for points and scribbles.
    frame : int, optional
        Index of the frame in the segmented stack; None for another image; from `FIRST_CROP` on for
        a crop of a large frame.
    ignored : ndarray of bool, shape (Y, X), optional
        Pixels of unknown class that are excluded from learning, for example blurred borders.
    negative : ndarray of bool, shape (Y, X), optional
        Pixels that certainly do not belong to the class. They are removed from the mask. If the
        mask is empty and its kind is not "mask", they are all that is known of the frame: the
        kind becomes "mask", and all other pixels are ignored.

    Raises
    ------
    InputError
        If shapes differ, the mask exceeds 0..1, neither it nor `negative` marks a pixel although
        its kind is not "mask", the class is below 1, or the kind or dtype is not supported.

    Examples
    --------
    >>> image, mask = np.zeros((32, 32)), np.zeros((32, 32))
    >>> mask[4:9, 4:9] = 1
    >>> reference = Reference(image, mask, kind="scribble")
    >>> reference.image.shape, reference.sparse
    ((32, 32, 1), True)

    Some objects are filled, and a stroke marks something else:

    >>> stroke = np.zeros((32, 32), dtype=bool)
    >>> stroke[20, 4:20] = True
    >>> reference = Reference(image, mask, kind="partial", negative=stroke)
    >>> reference.sparse, int(reference.negative.sum())
    (True, 16)
    """

    image: NDArray[Any]
    mask: NDArray[np.float32]
    class_id: int = 1
    kind: AnnotationKind = "mask"
    frame: int | None = None
    ignored: NDArray[np.bool_] | None = None
    negative: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        image = with_nan(np.asanyarray(self.image))
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
        ignored = _pixels("ignored", self.ignored, mask.shape)
        negative = _pixels("negative", self.negative, mask.shape)
        if self.kind not in ANNOTATION_KINDS:
            raise InputError(
                f"Unknown annotation kind {self.kind!r:.60}: use one of "
                f"{', '.join(ANNOTATION_KINDS)}."
            )
        if self.class_id < 1:
            raise InputError(
                f"Class {self.class_id} is not valid: classes start at 1, 0 is background."
            )
        if not np.isfinite(mask).all() or mask.min() < 0 or mask.max() > 1:
            raise InputError(
                "The values of an annotation mask must lie between 0 and 1: rescale them."
            )
        missing = missing_pixels(image)
        if missing is not None:
            ignored = missing if ignored is None else missing | ignored
            negative = None if negative is None else _pixels("", negative & ~missing, mask.shape)
            if mask.any() and not mask[~missing].any():
                raise InputError(
                    f"The annotation of class {self.class_id} lies on pixels without data only: "
                    "mark pixels of the image."
                )
            mask = np.where(missing, np.float32(0), mask)
        if negative is not None:
            mask = np.where(negative, np.float32(0), mask)
        if self.kind != "mask" and not mask.any():
            if negative is None:
                raise InputError(
                    f"The annotation of class {self.class_id} is empty: mark at least one pixel."
                )
            ignored = ~negative if ignored is None else ~negative | ignored
            object.__setattr__(self, "kind", "mask")
        object.__setattr__(self, "image", image)
        object.__setattr__(self, "mask", mask)
        object.__setattr__(self, "ignored", ignored)
        object.__setattr__(self, "negative", negative)

    @property
    def sparse(self) -> bool:
        """True if unmarked pixels are unknown rather than background."""
        return self.kind in SPARSE_KINDS

    @property
    def empty(self) -> bool:
        """True if the frame does not show the class."""
        return not self.mask.any()

    @property
    def is_crop(self) -> bool:
        """True for a crop of a frame that is too large for the memory."""
        return self.frame is not None and FIRST_CROP <= self.frame < LAST_CROP


def _pixels(name: str, pixels: Any, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Return a boolean mask of a frame; None if it is empty."""
    if pixels is None:
        return None
    if np.shape(pixels) != shape:
        raise InputError(
            f"The mask of {name} pixels has the shape {np.shape(pixels)}, but the annotation has "
            f"{shape}: use a mask of the same size."
        )
    marked = np.asarray(pixels, dtype=np.bool_)
    return marked if marked.any() else None
