"""Annotated frames with their ground truth, and the hold-out split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label, regionprops

from napari_vrp_sam.annotations.labels import IGNORED, class_ids_of
from napari_vrp_sam.annotations.reference import (
    MERGE_ORDER,
    SPARSE_KINDS,
    AnnotationKind,
    Reference,
)
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.normalisation import Normalisation

MIN_SIDE = 32
"""Minimum height and width in pixels of either side of a split frame."""

THRESHOLD = 0.5
"""Share of the maximum of a mask above which a pixel is marked: brushes may be soft or faint."""


@dataclass(frozen=True, eq=False)
class ClassAnnotation:
    """Annotation of one class on one frame.

    Attributes
    ----------
    mask : ndarray, shape (Y, X), float32
        The annotation as drawn, 0..1.
    ground_truth : ndarray, shape (Y, X), uint8
        1 inside the class, 0 outside, 255 where unknown.
    kind : {"point", "scribble", "partial", "box", "mask"}
    """

    mask: NDArray[np.float32]
    ground_truth: NDArray[np.uint8]
    kind: AnnotationKind

    @property
    def informative(self) -> bool:
        """True if some pixels are known to be inside the class, and some outside."""
        return bool((self.ground_truth == 1).any() and (self.ground_truth == 0).any())


@dataclass(frozen=True, eq=False)
class AnnotatedFrame:
    """Frame with the annotations of its classes.

    Attributes
    ----------
    image : ndarray, shape (3, Y, X), float32
        Intensities in 0..1.
    annotations : mapping of int to ClassAnnotation
        By class id.
    """

    image: NDArray[np.float32]
    annotations: Mapping[int, ClassAnnotation]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[1], self.image.shape[2]

    @property
    def informative_classes(self) -> set[int]:
        """Classes that can be learned from this frame alone."""
        return {class_id for class_id, a in self.annotations.items() if a.informative}

    def ground_truth(self, class_id: int) -> NDArray[np.uint8]:
        """Return the ground truth of a class, which is unknown without an annotation."""
        if class_id in self.annotations:
            return self.annotations[class_id].ground_truth
        return np.full(self.shape, IGNORED, np.uint8)

    def crop(self, rows: slice, columns: slice) -> AnnotatedFrame:
        """Return a rectangle of the frame, without classes that are unknown in it."""
        cropped = {
            class_id: ClassAnnotation(a.mask[rows, columns], a.ground_truth[rows, columns], a.kind)
            for class_id, a in self.annotations.items()
        }
        known = {c: a for c, a in cropped.items() if (a.ground_truth != IGNORED).any()}
        return AnnotatedFrame(self.image[:, rows, columns], known)


@dataclass(frozen=True, eq=False)
class Fold:
    """Training frames, and one held-out frame."""

    training: tuple[AnnotatedFrame, ...]
    held_out: AnnotatedFrame

    @property
    def class_ids(self) -> tuple[int, ...]:
        """Classes that can be learned from the training frames and tested on the held-out one."""
        return common_classes(self.training, self.held_out)


def common_classes(training: Sequence[AnnotatedFrame], held_out: AnnotatedFrame) -> tuple[int, ...]:
    """Return the classes for which training frames and held-out frame are informative, sorted."""
    learned = {c for frame in training for c in frame.informative_classes}
    return tuple(sorted(learned & held_out.informative_classes))


def annotated_frames(
    references: Sequence[Reference], normalisation: Normalisation
) -> list[AnnotatedFrame]:
    """Group checked references by frame; one without a frame index is a frame of its own."""
    groups: dict[object, list[Reference]] = defaultdict(list)
    for reference in references:
        groups[id(reference) if reference.frame is None else reference.frame].append(reference)
    return [
        AnnotatedFrame(
            normalisation.apply(group[0].image),
            {class_id: _merge(class_id, group) for class_id in class_ids_of(group)},
        )
        for group in groups.values()
    ]


def _merge(class_id: int, group: Sequence[Reference]) -> ClassAnnotation:
    """Merge the references of a frame into the annotation of one class."""
    same_class = [r for r in group if r.class_id == class_id]
    kind = min((r.kind for r in same_class), key=MERGE_ORDER.index)
    mask = np.maximum.reduce([r.mask for r in same_class])
    marked = mask > THRESHOLD * max(float(mask.max()), 1e-6)
    other_class = np.zeros(mask.shape, dtype=bool)
    for r in group:
        if r.class_id == class_id:
            if r.negative is not None:
                other_class |= r.negative
        elif r.kind != "box":
            other_class |= r.mask > THRESHOLD
    sparse = kind in SPARSE_KINDS
    ground_truth = np.full(mask.shape, IGNORED if sparse else 0, dtype=np.uint8)
    ground_truth[other_class] = 0
    ground_truth[marked] = 1
    if kind == "box":
        ground_truth[marked & ~_inscribed_ellipses(marked)] = IGNORED
        ground_truth[other_class] = 0
    else:
        ground_truth[marked & other_class] = IGNORED
    for r in same_class:
        if r.ignored is not None:
            ground_truth[r.ignored] = IGNORED
    return ClassAnnotation(mask, ground_truth, kind)


def _inscribed_ellipses(boxes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the ellipse in each box: the corners are mostly background."""
    inside = np.zeros_like(boxes)
    for region in regionprops(label(boxes)):
        top, left, bottom, right = region.bbox
        rows, columns = np.ogrid[top:bottom, left:right]
        vertical = (2 * rows + 1 - top - bottom) / (bottom - top)
        horizontal = (2 * columns + 1 - left - right) / (right - left)
        inside[top:bottom, left:right] |= vertical**2 + horizontal**2 <= 1
    inside &= boxes
    return inside


def make_folds(frames: Sequence[AnnotatedFrame], count: int) -> list[Fold]:
    """Hold out one frame at a time; split frames in two if no class is on two of them.

    Raises
    ------
    InputError
        If the annotation is too small to hold out a part of it.
    """
    possible = _leave_one_out(frames)
    if not possible:  # one frame, or no class on two of them
        for number, frame in enumerate(frames):
            others = [*frames[:number], *frames[number + 1 :]]
            possible += [
                Fold((*others, *fold.training), fold.held_out)
                for fold in _leave_one_out(_split(frame))
            ]
    possible.sort(key=lambda fold: -len(fold.class_ids))
    if not possible:
        raise InputError(
            "The annotation is too small to hold out a part of it for validation: annotate more "
            "of the class, or another frame."
        )
    chosen = np.linspace(0, len(possible) - 1, min(count, len(possible))).round().astype(int)
    return [possible[i] for i in chosen]


def _leave_one_out(frames: Sequence[AnnotatedFrame]) -> list[Fold]:
    folds = [Fold((*frames[:i], *frames[i + 1 :]), frame) for i, frame in enumerate(frames)]
    return [fold for fold in folds if fold.class_ids]


def _split(frame: AnnotatedFrame) -> list[AnnotatedFrame]:
    """Split a frame at the median of its annotation, across the direction of largest spread."""
    density = np.zeros(frame.shape)
    for annotation in frame.annotations.values():
        marked = annotation.ground_truth == 1
        density += marked / max(np.count_nonzero(marked), 1)  # equal weight for rare classes
    profiles = [density.sum(axis=1), density.sum(axis=0)]
    spreads = []
    for profile in profiles:
        position = np.arange(len(profile))
        weight = profile / max(profile.sum(), 1e-6)
        spreads.append(float((weight * (position - (weight * position).sum()) ** 2).sum()))
    # The other direction is used if it leaves more classes on both sides.
    best: list[AnnotatedFrame] = []
    most_common = -1
    for axis in sorted((0, 1), key=lambda a: -spreads[a]):
        if frame.shape[axis] < 2 * MIN_SIDE:
            continue
        cumulative = profiles[axis].cumsum()
        middle = int(np.searchsorted(cumulative, cumulative[-1] / 2)) + 1
        middle = min(max(middle, MIN_SIDE), frame.shape[axis] - MIN_SIDE)
        whole = slice(None)
        sides = [
            frame.crop(*((side, whole) if axis == 0 else (whole, side)))
            for side in (slice(None, middle), slice(middle, None))
        ]
        common = len(common_classes(sides[:1], sides[1]))
        if common > most_common:
            best, most_common = sides, common
    return best


def crop_to_annotation(frame: AnnotatedFrame, side: int) -> AnnotatedFrame:
    """Crop a frame to at most `side` pixels in height and width, where most is annotated."""
    slices = []
    for axis, length in enumerate(frame.shape):
        if length <= side:
            slices.append(slice(None))
            continue
        profile = sum(
            (a.ground_truth == 1).sum(axis=1 - axis).astype(np.int64)
            for a in frame.annotations.values()
        )
        cumulative = np.concatenate([[0], np.cumsum(profile)])
        start = int(np.argmax(cumulative[side:] - cumulative[:-side]))
        slices.append(slice(start, start + side))
    return frame.crop(slices[0], slices[1])
