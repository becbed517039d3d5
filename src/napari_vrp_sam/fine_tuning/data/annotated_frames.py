"""Annotated frames as training takes them, and what is held out of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label, regionprops

from napari_vrp_sam.annotations.labels import IGNORED, class_ids_of
from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.normalisation import Normalisation

MIN_SIDE = 32
"""Pixels of the shorter side of half a frame: less shows nothing."""

SURE = 0.5
"""Of the strongest mark: brushes may be soft, or faint all over."""


@dataclass(frozen=True, eq=False)
class ClassAnnotation:
    """What is known of one class on one frame.

    Attributes
    ----------
    mask : ndarray, shape (Y, X), float32
        The annotation as it was drawn, 0..1.
    truth : ndarray, shape (Y, X), uint8
        1 where the class is, 0 where it is not, 255 where nobody knows.
    kind : {"point", "scribble", "box", "mask"}
    """

    mask: NDArray[np.float32]
    ground_truth: NDArray[np.uint8]
    kind: AnnotationKind

    @property
    def informative(self) -> bool:
        """Whether both the class and what it is not are known somewhere."""
        return bool((self.ground_truth == 1).any() and (self.ground_truth == 0).any())


@dataclass(frozen=True, eq=False)
class AnnotatedFrame:
    """A frame and the classes that are annotated on it.

    Attributes
    ----------
    image : ndarray, shape (3, Y, X), float32
        In 0..1.
    marks : mapping of int to Marks
        By class.
    """

    image: NDArray[np.float32]
    marks: Mapping[int, ClassAnnotation]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[1], self.image.shape[2]

    @property
    def informative(self) -> set[int]:
        """Classes that can be learned from this frame alone."""
        return {class_id for class_id, marks in self.marks.items() if marks.informative}

    def part(self, rows: slice, columns: slice) -> AnnotatedFrame:
        """A rectangle of the frame, with the classes that are known in it."""
        marks = {
            class_id: ClassAnnotation(m.mask[rows, columns], m.ground_truth[rows, columns], m.kind)
            for class_id, m in self.marks.items()
        }
        known = {c: m for c, m in marks.items() if (m.ground_truth != IGNORED).any()}
        return AnnotatedFrame(self.image[:, rows, columns], known)


@dataclass(frozen=True, eq=False)
class Fold:
    """Frames to learn from, and one that is held out."""

    learned: tuple[AnnotatedFrame, ...]
    held_out: AnnotatedFrame

    @property
    def class_ids(self) -> tuple[int, ...]:
        """Classes that can be learned from the ones and looked for on the other, ascending."""
        shown = {c for frame in self.learned for c in frame.informative}
        return tuple(sorted(shown & self.held_out.informative))


def annotated_frames(
    references: Sequence[Reference], normalisation: Normalisation
) -> list[AnnotatedFrame]:
    """Gather references by frame.

    Parameters
    ----------
    references : sequence of Reference
        Checked already; see `check_annotations`.
    normalisation : Normalisation
    """
    groups: dict[object, list[Reference]] = defaultdict(list)
    for reference in references:
        groups[id(reference) if reference.frame is None else reference.frame].append(reference)
    frames = []
    for group in groups.values():
        classes = class_ids_of(group)
        marks = {class_id: _marks(class_id, group) for class_id in classes}
        frames.append(AnnotatedFrame(normalisation.apply(group[0].image), marks))
    return frames


def _marks(class_id: int, group: Sequence[Reference]) -> ClassAnnotation:
    """What the references of a frame say about one class."""
    own = [r for r in group if r.class_id == class_id]
    # Dense before sparse, the less exact first: as annotation layers are joined.
    kind = min((r.kind for r in own), key=("box", "mask", "scribble", "point").index)
    mask = np.maximum.reduce([r.mask for r in own])
    marked = mask > SURE * max(float(mask.max()), 1e-6)
    others = [r for r in group if r.class_id != class_id and r.kind != "box"]
    elsewhere = np.zeros(mask.shape, dtype=bool)
    for r in others:
        elsewhere |= r.mask > SURE
    sparse = kind in ("point", "scribble")
    ground_truth = np.full(mask.shape, IGNORED if sparse else 0, dtype=np.uint8)
    ground_truth[elsewhere] = 0
    ground_truth[marked] = 1
    if kind == "box":
        ground_truth[marked & ~_middles(marked)] = IGNORED
        ground_truth[elsewhere] = 0
    else:
        ground_truth[marked & elsewhere] = IGNORED
    for r in own:
        if r.ignored is not None:
            ground_truth[r.ignored] = IGNORED
    return ClassAnnotation(mask, ground_truth, kind)


def _middles(boxes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The ellipse in each box: its corners mostly show other things."""
    inside = np.zeros_like(boxes)
    for region in regionprops(label(boxes)):
        top, left, bottom, right = region.bbox
        rows, columns = np.ogrid[top:bottom, left:right]
        vertical = (2 * rows + 1 - top - bottom) / (bottom - top)
        horizontal = (2 * columns + 1 - left - right) / (right - left)
        inside[top:bottom, left:right] |= vertical**2 + horizontal**2 <= 1
    middles: NDArray[np.bool_] = inside & boxes
    return middles


def make_folds(frames: Sequence[AnnotatedFrame], count: int) -> list[Fold]:
    """Ways to hold out one frame in turn; where no class is on two frames, they are cut in two.

    Parameters
    ----------
    frames : sequence of AnnotatedFrame
    count : int
        Folds, at most.

    Raises
    ------
    InputError
        If too little is annotated to hold any of it out.
    """
    possible = _left_out(frames)
    if not possible:  # one frame, or no class on two of them
        for number, frame in enumerate(frames):
            others = [*frames[:number], *frames[number + 1 :]]
            possible += [
                Fold((*others, *fold.learned), fold.held_out) for fold in _left_out(_halves(frame))
            ]
    possible.sort(key=lambda fold: -len(fold.class_ids))
    if not possible:
        raise InputError(
            "Too little is annotated to hold out a part, by which to see whether anything is "
            "learned: annotate more of the class, or another frame."
        )
    at = np.linspace(0, len(possible) - 1, min(count, len(possible))).round().astype(int)
    return [possible[i] for i in at]


def _left_out(frames: Sequence[AnnotatedFrame]) -> list[Fold]:
    """Each frame held out in turn, where it shows what the others do."""
    folds = [Fold((*frames[:i], *frames[i + 1 :]), frame) for i, frame in enumerate(frames)]
    return [fold for fold in folds if fold.class_ids]


def _halves(frame: AnnotatedFrame) -> list[AnnotatedFrame]:
    """Both sides of the line that halves what is marked, across its longer direction."""
    marked = np.zeros(frame.shape)
    for marks in frame.marks.values():
        area = np.count_nonzero(marks.ground_truth == 1)
        marked += (marks.ground_truth == 1) / max(area, 1)  # rare classes count as much
    profiles = [marked.sum(axis=1), marked.sum(axis=0)]
    spreads = []
    for profile in profiles:
        place = np.arange(len(profile))
        weight = profile / max(profile.sum(), 1e-6)
        spreads.append(float((weight * (place - (weight * place).sum()) ** 2).sum()))
    # Either way will do if the better one leaves a class on one side only.
    best: list[AnnotatedFrame] = []
    for axis in sorted((0, 1), key=lambda a: -spreads[a]):
        reached = profiles[axis].cumsum()
        middle = int(np.searchsorted(reached, reached[-1] / 2)) + 1
        middle = min(max(middle, MIN_SIDE), frame.shape[axis] - MIN_SIDE)
        if frame.shape[axis] < 2 * MIN_SIDE:
            continue
        everything = slice(None)
        first, second = slice(None, middle), slice(middle, None)
        sides = [
            frame.part(*((side, everything) if axis == 0 else (everything, side)))
            for side in (first, second)
        ]
        common = len(sides[0].informative & sides[1].informative)
        if not best or common > len(best[0].informative & best[1].informative):
            best = sides
    return best


def crop_to_annotation(frame: AnnotatedFrame, side: int) -> AnnotatedFrame:
    """A frame no larger than `side` pixels either way: the part where most is marked."""
    cuts = []
    for axis, length in enumerate(frame.shape):
        if length <= side:
            cuts.append(slice(None))
            continue
        profile = sum(
            (m.ground_truth == 1).sum(axis=1 - axis).astype(np.int64) for m in frame.marks.values()
        )
        reached = np.concatenate([[0], np.cumsum(profile)])
        start = int(np.argmax(reached[side:] - reached[:-side]))
        cuts.append(slice(start, start + side))
    return frame.part(cuts[0], cuts[1])
