"""Parts of annotated frames that are held out, to measure the accuracy of any model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import Reference

MAX_PARTS = 3
"""Largest number of annotated frames that are held out, one at a time."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """References to learn from, and a frame whose annotation is held out.

    Attributes
    ----------
    training : list of Reference
    image : ndarray, shape (Y, X, C)
        Frame to segment.
    truth : dict of int to ndarray of bool, shape (Y, X)
        Held-out mask of each class.
    known : dict of int to ndarray of bool, shape (Y, X)
        Pixels of the held-out part whose class is known.
    """

    training: list[Reference]
    image: NDArray[np.generic]
    truth: dict[int, NDArray[np.bool_]]
    known: dict[int, NDArray[np.bool_]]


def hold_out_parts(references: Sequence[Reference]) -> list[HeldOut]:
    """Hold out one annotated frame at a time, or of a single frame one half at a time.

    Only masks are held out, because unmarked pixels of other annotations are unknown. A class
    counts only in parts in which it is marked and also learned.

    Returns
    -------
    list of HeldOut
        Empty if no mask can be held out.
    """
    by_frame: dict[object, list[Reference]] = {}
    for reference in references:
        key: object = id(reference.image) if reference.frame is None else reference.frame
        by_frame.setdefault(key, []).append(reference)
    marked = [key for key, group in by_frame.items() if any(map(_is_mask, group))]
    if not marked:
        return []
    parts = []
    if len(marked) > 1:
        for key in marked[:MAX_PARTS]:
            others = [r for other, group in by_frame.items() if other != key for r in group]
            everywhere = np.ones(by_frame[key][0].mask.shape, dtype=bool)
            parts.append(_part(by_frame[key], others, everywhere))
    else:
        group = by_frame[marked[0]]
        others = [r for other, rest in by_frame.items() if other != marked[0] for r in rest]
        beyond = _best_half([r.mask > 0.5 for r in group if _is_mask(r)])
        for side in (beyond, ~beyond):
            kept = [one for r in group if (one := _without(r, side)) is not None]
            parts.append(_part(group, [*kept, *others], side))
    return [part for part in parts if part.truth]


def _part(
    group: Sequence[Reference], training: list[Reference], side: NDArray[np.bool_]
) -> HeldOut:
    learned = {r.class_id for r in training if not r.empty}
    truth, known = {}, {}
    for reference in group:
        mask = (reference.mask > 0.5) & side
        if _is_mask(reference) and reference.class_id in learned and mask.any():
            truth[reference.class_id] = mask
            ignored = reference.ignored
            known[reference.class_id] = side if ignored is None else side & ~ignored
    training = [r for r in training if r.class_id in learned]
    return HeldOut(training, group[0].image, truth, known)


def _without(reference: Reference, side: NDArray[np.bool_]) -> Reference | None:
    """Return a reference that ignores one side of its frame; None if nothing else is marked."""
    mask = np.where(side, 0, reference.mask)
    negative = None if reference.negative is None else reference.negative & ~side
    if not mask.any() and not (reference.kind == "mask" and reference.empty):
        return None
    ignored = side if reference.ignored is None else side | reference.ignored
    return replace(reference, mask=mask, ignored=ignored, negative=negative)


def _is_mask(reference: Reference) -> bool:
    return reference.kind == "mask" and not reference.empty


def _best_half(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Return half of a frame, so that both halves show as many classes as possible.

    The frame is cut at the median of all classes, if both ways are equal along the axis of their
    larger variance.
    """
    positions = np.nonzero(np.any(masks, axis=0))
    across = np.var(positions[1]) > np.var(positions[0])
    halves = [_beyond(masks[0].shape, axis, np.median(positions[axis])) for axis in (0, 1)]
    shared = [sum(bool((m & h).any() and (m & ~h).any()) for m in masks) for h in halves]
    axis = int(across) if shared[0] == shared[1] else int(np.argmax(shared))
    return halves[axis]


def _beyond(shape: tuple[int, ...], axis: int, position: np.floating) -> NDArray[np.bool_]:
    steps = np.arange(shape[axis]) > position
    # A copy, as PyTorch cannot use arrays that are not writable.
    return np.broadcast_to(steps[None] if axis else steps[:, None], shape).copy()
