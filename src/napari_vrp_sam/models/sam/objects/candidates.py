"""Object candidates: connected pieces of a pseudo-mask, each with a point, a box and a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

THRESHOLD = 0.5
"""Probability above which a cell of the pseudo-mask belongs to a candidate."""

MIN_CELLS = 6
"""Smallest candidate, in cells; smaller ones are noise or too small for SAM."""

MAX_SHARE_OF_FRAME = 0.7
"""Largest candidate, as a share of the frame: background with holes is not an object."""

MAX_CANDIDATES = 64
"""Largest number of candidates of a class on one frame; each takes a pass of the mask decoder."""

NECK = 0.75
"""Depth of a neck relative to the radius of the smaller piece, above which both are one object."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Object candidates of one class on one frame.

    Attributes
    ----------
    masks : ndarray, shape (N, h, w), bool
        Cells of each candidate.
    points : ndarray, shape (N, 2), float32
        The innermost cell (x, y) of each candidate.
    boxes : ndarray, shape (N, 4), float32
        Outer edges (x0, y0, x1, y1) in cells.
    """

    masks: NDArray[np.bool_]
    points: NDArray[np.float32]
    boxes: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.masks)


def find_candidates(
    probability: NDArray[np.floating], *, limit: int = MAX_CANDIDATES
) -> Candidates:
    """Find object candidates in a pseudo-mask.

    A candidate is a connected component; touching objects are split at their necks.

    Parameters
    ----------
    probability : ndarray, shape (h, w)
        Probability of the class in 0..1.
    limit : int
        Largest number of candidates. Those with the largest sum of probabilities come first, which
        are the large and certain ones.

    Returns
    -------
    Candidates

    Examples
    --------
    >>> probability = np.zeros((32, 32))
    >>> probability[4:10, 5:15] = probability[20:30, 20:30] = 0.9
    >>> find_candidates(probability).boxes.tolist()
    [[20.0, 20.0, 30.0, 30.0], [5.0, 4.0, 15.0, 10.0]]
    """
    labels, depth = _split(probability > THRESHOLD)
    count = int(labels.max())
    cells = np.bincount(labels.ravel(), minlength=count + 1)
    weight = np.bincount(labels.ravel(), weights=probability.ravel(), minlength=count + 1)
    fits = (cells >= MIN_CELLS) & (cells <= MAX_SHARE_OF_FRAME * labels.size)
    fits[0] = False
    order = np.argsort(-weight, kind="stable")
    chosen = [int(label) for label in order if fits[label]][:limit]
    slices = ndimage.find_objects(labels)
    points, boxes = np.zeros((len(chosen), 2)), np.zeros((len(chosen), 4))
    for row, label in enumerate(chosen):
        rows, columns = slices[label - 1]
        inside = np.where(labels[rows, columns] == label, depth[rows, columns], -1)
        y, x = np.unravel_index(int(inside.argmax()), inside.shape)
        points[row] = columns.start + x, rows.start + y
        boxes[row] = columns.start, rows.start, columns.stop, rows.stop
    masks = labels[None] == np.array(chosen, labels.dtype)[:, None, None]
    return Candidates(masks, points.astype(np.float32), boxes.astype(np.float32))


def _split(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return labels of the candidates, and the distance of their cells to the background."""
    # Cells beyond the frame count as background, so that objects on the border have a centre.
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    components, _ = ndimage.label(mask)
    smooth = ndimage.gaussian_filter(depth, 1.0)
    peaks = peak_local_max(smooth, min_distance=2, labels=components, exclude_border=False)
    seeds = np.zeros(mask.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    pieces = watershed(-smooth, seeds, mask=mask)
    merged = _merge_without_neck(pieces, smooth, len(peaks))
    return merged[pieces], depth


def _merge_without_neck(
    pieces: NDArray[np.int32], depth: NDArray[np.float64], count: int
) -> NDArray[np.int32]:
    """Return a new label for each piece; pieces whose border is not a neck have the same."""
    saddles: dict[tuple[int, int], float] = {}
    for first, second in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        a, b = pieces[first], pieces[second]
        touching = (a != b) & (a > 0) & (b > 0)
        depths = np.minimum(depth[first], depth[second])[touching]
        pairs = np.sort(np.stack([a[touching], b[touching]], axis=1), axis=1)
        for (one, other), value in zip(pairs.tolist(), depths.tolist(), strict=True):
            saddles[one, other] = max(saddles.get((one, other), 0.0), value)
    top = np.zeros(count + 1)
    if count:
        top[1:] = ndimage.maximum(depth, pieces, np.arange(1, count + 1))
    root = np.arange(count + 1, dtype=np.int32)
    # The widest connections first, because a merged piece is as deep as its deepest part.
    for (one, other), saddle in sorted(saddles.items(), key=lambda item: -item[1]):
        first_root, second_root = root[one], root[other]
        if first_root != second_root and saddle > NECK * min(top[first_root], top[second_root]):
            top[first_root] = max(top[first_root], top[second_root])
            root[root == second_root] = first_root
    return root
