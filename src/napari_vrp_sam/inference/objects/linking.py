"""Linking of objects on neighbouring frames by the pixels that they share.

Frames are matched one to one (the assignment with the largest sum of IoUs), so that two objects of
a frame never merge, and each step needs two frames only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAST_OVERLAP = 0.25
"""Smallest share of the smaller object that overlaps the other one: a disc may move by 1.2 radii
from frame to frame, and the cap of a sphere still belongs to it."""

EVEN_DIVISION = 0.5
"""Smallest ratio of the areas of two daughters; a fragment is not a daughter."""


class LinkedObjects(NamedTuple):
    """Class and parent of each linked object, by id; the first entry is the background."""

    classes: NDArray[np.int64]
    parents: NDArray[np.int64]
    """Id of the object that divided, 0 for none."""


class _Pairs(NamedTuple):
    """Pairs of objects before and after with enough overlap: ids, IoU, and areas after."""

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    iou: NDArray[np.float64]
    areas: NDArray[np.int64]


def link(
    stack: NDArray[np.unsignedinteger],
    classes: Sequence[NDArray[np.integer]],
    *,
    divisions: bool = False,
    bridge: bool = False,
    step: Callable[[], object] = lambda: None,
) -> LinkedObjects:
    """Link objects along the first axis, in place.

    Parameters
    ----------
    stack : ndarray of unsigned integers, shape (N, Y, X) or (N, Z, Y, X)
        Objects of N frames or volumes, each numbered from 1. The dtype must hold the number of
        all objects. They are renumbered 1, 2, ... in the order of appearance.
    classes : sequence of N ndarrays
        Class of each object by its id, the first entry for background; objects of different
        classes are not linked.
    divisions : bool
        Whether objects may divide: both daughters get new ids and a parent.
    bridge : bool
        Whether an object that is missing on one frame keeps its id.
    step : callable
        Called before each frame.

    Returns
    -------
    LinkedObjects
    """
    class_of, parent_of = [0], [0]
    last = seen = np.zeros_like(stack[0])
    for frame, frame_classes in zip(stack, classes, strict=True):
        step()
        pairs = _pairs(seen, frame, np.array(class_of), np.asarray(frame_classes))
        before = _assigned(pairs)
        parents = _divided(pairs, before) if divisions else {}
        ids = np.zeros(len(frame_classes), stack.dtype)
        for number in range(1, len(frame_classes)):
            if number in before and number not in parents:
                ids[number] = before[number]
                continue
            ids[number] = len(class_of)
            class_of.append(int(frame_classes[number]))
            parent_of.append(parents.get(number, 0))
        frame[...] = ids[frame]
        if bridge:
            ended = np.setdiff1d(last, [0, *before.values(), *parents.values()])
            seen = np.where((frame == 0) & np.isin(last, ended), last, frame)
        else:
            seen = frame
        last = frame
    return LinkedObjects(np.array(class_of, np.int64), np.array(parent_of, np.int64))


def link_stack(
    labels: NDArray[np.unsignedinteger],
    classes: Sequence[NDArray[np.integer]],
    axes: str,
    *,
    divisions: bool = False,
    step: Callable[[], object] = lambda: None,
) -> LinkedObjects:
    """Link the objects of a stack in place: planes to bodies, frames or bodies to tracks.

    Parameters
    ----------
    labels : ndarray of unsigned integers, shape of the leading axes + (Y, X)
        Objects of each frame, numbered from 1.
    classes : sequence of ndarrays
        Class of each object, for each frame of the stack.
    axes : str
        One letter of T, Z, Y, X for each axis of the labels.
    divisions : bool
        Whether objects may divide through T.
    step : callable
        Called before each plane and each time point.

    Returns
    -------
    LinkedObjects
    """
    if "T" not in axes:
        return link(labels, classes, step=step)
    if "Z" in axes:
        grid = np.arange(len(classes)).reshape(labels.shape[:2])
        if axes.startswith("Z"):
            labels, grid = labels.swapaxes(0, 1), grid.T
        classes = [
            link(volume, [classes[index] for index in indices], step=step).classes
            for volume, indices in zip(labels, grid, strict=True)
        ]
    # Through T, an object may be missed on a frame; through Z, a gap separates two objects.
    return link(labels, classes, divisions=divisions, bridge=True, step=step)


def _pairs(
    before: NDArray[np.unsignedinteger],
    after: NDArray[np.unsignedinteger],
    classes_before: NDArray[np.int64],
    classes_after: NDArray[np.integer],
) -> _Pairs:
    """Find pairs of one class, one of them well covered by the other."""
    counts = _shared_pixels(before, after, (len(classes_before), len(classes_after)))
    areas_before, areas_after = counts.sum(axis=1), counts.sum(axis=0)
    shared = counts.tocoo()
    first, second, count = (a.astype(np.int64) for a in (shared.row, shared.col, shared.data))
    smaller = np.minimum(areas_before[first], areas_after[second])
    fits = (first > 0) & (second > 0) & (count >= LEAST_OVERLAP * smaller)
    fits &= classes_before[first] == classes_after[second]
    first, second, count = first[fits], second[fits], count[fits]
    iou = count / (areas_before[first] + areas_after[second] - count)
    return _Pairs(first, second, iou, areas_after.astype(np.int64))


def _shared_pixels(before: Any, after: Any, shape: tuple[int, int]) -> Any:
    """Count the pixels that two objects share in a sparse matrix; its sums are their areas."""
    from scipy.sparse import coo_array, csr_array

    counts = csr_array(shape, dtype=np.int64)
    frames = before.reshape(-1, *before.shape[-2:]), after.reshape(-1, *after.shape[-2:])
    for first, second in zip(*frames, strict=True):  # plane by plane, to save memory
        drawn = (first > 0) | (second > 0)
        where = first[drawn].astype(np.int64), second[drawn].astype(np.int64)
        ones = np.ones(len(where[0]), np.int64)
        counts = counts + coo_array((ones, where), shape).tocsr()
    return counts


def _assigned(pairs: _Pairs) -> dict[int, int]:
    """Return the id before of each object that continues, by its number after."""
    from scipy.sparse import csr_array, eye_array, hstack
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    if not len(pairs.iou):
        return {}
    rows, row = np.unique(pairs.before, return_inverse=True)
    columns, column = np.unique(pairs.after, return_inverse=True)
    weights = csr_array((pairs.iou, (row, column)), (len(rows), len(columns)))
    # An extra column for each row with a tiny weight, so that it may stay without a partner.
    graph = hstack([weights, 1e-9 * eye_array(len(rows))], format="csr")
    matched = zip(*min_weight_full_bipartite_matching(graph, maximize=True), strict=True)
    return {int(columns[c]): int(rows[r]) for r, c in matched if c < len(columns)}


def _divided(pairs: _Pairs, before: dict[int, int]) -> dict[int, int]:
    """Return the parent of each daughter, by its number after."""
    heirs = {parent: number for number, parent in before.items()}
    parents: dict[int, int] = {}
    for at in np.argsort(-pairs.iou, kind="stable"):
        parent, number = int(pairs.before[at]), int(pairs.after[at])
        heir = heirs.get(parent)
        if heir is None or number in before or number in parents or heir in parents:
            continue
        small, large = sorted(pairs.areas[[heir, number]])
        if small >= EVEN_DIVISION * large:
            parents[heir] = parents[number] = parent
    return parents
