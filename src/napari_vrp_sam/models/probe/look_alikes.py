"""Unmarked objects that look like the marked ones: the mask of an annotated frame is incomplete.

A mask states that everything unmarked is background. The search fits a probe without that
statement, as for partial masks, and takes the unmarked pixels with the logits of marked ones as
candidates. As other things may resemble the class, a probe that learns half of the marked objects
and no candidate must find the candidates as typical as the other half; and a probe that is fitted
to tell candidates from marked objects must fail on those that it has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_vrp_sam.models.calibration import LookAlikes
from napari_vrp_sam.models.probe.encoded_shots import PROBE_STRIDE, Shot
from napari_vrp_sam.models.probe.ensemble import ProbeRecipe, fit_linear_probe
from napari_vrp_sam.models.probe.pseudo_labels import COMPLETION_STRENGTHS, complete

MIN_MARKED = 3
"""Number of marked objects from which the search makes sense."""

MIN_CANDIDATES = 3
"""Number of candidates from which a mask is called incomplete."""

MIN_RATIO = 0.15
"""The same, relative to the number of marked objects."""

SIZES = 0.3, 4.0
"""Areas of candidates relative to the median of the marked objects; at most `MAX_LARGE` of the
candidates are larger, as regions without objects are."""

MAX_LARGE = 0.3

TYPICAL_SHARE = 0.5
"""Share of the candidates that are as typical as three of four marked objects."""

MAX_SEPARABILITY = 0.7
"""Area under the ROC curve of the probe that tells candidates from marked objects. The
values were chosen on training datasets, most of them with many objects: 4.7 % of 107 complete masks
were called incomplete, and about half of those from which 30 to 75 % of the objects were removed.
With two images of every training dataset, it is 3 % of 67 and 23 to 29 %
(benchmarks/results/incomplete-masks.json)."""

STRENGTH = 10.0
"""Ridge penalty of both probes."""

HALO = 2
"""Cells around marked objects that are no candidates: outlines drawn by hand are not exact."""

Mask = NDArray[np.bool_]


@torch.no_grad()
def find_look_alikes(shot: Shot, recipe: ProbeRecipe, class_id: int = 1) -> LookAlikes | None:
    """Return the look-alikes of a mask of one class (B = 1); None if it seems to be complete."""
    if shot.incomplete or not bool(shot.mask.any()):
        return None
    search = _Search(shot, recipe)
    if search.too_few:
        return None
    found = search.candidates
    large = float((found.sizes > SIZES[1] * search.size).mean())
    if large > MAX_LARGE or search.typical_share() < TYPICAL_SHARE:
        return None
    if search.separability() >= MAX_SEPARABILITY:
        return None
    return LookAlikes(class_id, len(search.marked.numbers), len(found.numbers))


@dataclass(frozen=True, eq=False)
class _Objects:
    """Connected components: their labels (h, w), and the numbers and sizes of some of them."""

    labels: NDArray[Any]
    numbers: NDArray[np.int_]
    sizes: NDArray[np.float64]

    @classmethod
    def of(cls, mask: Mask, least: float) -> _Objects:
        labels, count = ndimage.label(mask)
        sizes = np.asarray(ndimage.sum_labels(mask, labels, np.arange(1, count + 1)))
        kept = np.flatnonzero(sizes >= least)
        return cls(labels, kept + 1, sizes[kept])

    def mask(self, numbers: NDArray[np.int_]) -> Mask:
        mask: Mask = np.isin(self.labels, numbers)
        return mask

    def means(
        self, values: NDArray[Any], numbers: NDArray[np.int_], within: Mask
    ) -> NDArray[np.float64]:
        """Return the mean of values in each object, for those that are partly within a mask."""
        labels = np.where(within, self.labels, 0)
        present = numbers[np.isin(numbers, labels)]
        return np.asarray(ndimage.mean(values, labels, present), dtype=np.float64).reshape(-1)


class _Search:
    """Marked objects and candidates on the probe's grid."""

    def __init__(self, shot: Shot, recipe: ProbeRecipe) -> None:
        self._shot, self._recipe = shot, recipe
        self._mask, self._known = _on_grid(shot.foreground), _on_grid(shot.known)
        every = _Objects.of(self._mask, 0)
        least = max(4.0, 0.1 * float(np.median(every.sizes))) if len(every.sizes) else 4.0
        self.marked = _Objects.of(self._mask, least)
        self.too_few = len(self.marked.numbers) < MIN_MARKED
        if self.too_few:
            return
        partial = replace(shot, sparse=torch.ones_like(shot.sparse))
        for strength in COMPLETION_STRENGTHS:
            probe = fit_linear_probe([partial], recipe, strength=strength)
            partial = complete(partial, probe)
        logits = _logits(probe, shot, self._mask.shape)
        # The same rule for marked objects and candidates, so that their pixels are comparable.
        self._typical = (logits >= np.median(logits[self._mask])) & self._known
        near = ndimage.binary_dilation(self._mask, iterations=HALO)
        self._unmarked = self._typical & ~near & ~_on_grid(shot.excluded)
        cores = ndimage.sum_labels(
            self._typical & self._mask, self.marked.labels, self.marked.numbers
        )
        self.size = float(np.median(cores[cores > 0])) if (cores > 0).any() else 1.0
        self.candidates = _Objects.of(self._unmarked, max(3.0, SIZES[0] * self.size))
        least_count = max(MIN_CANDIDATES, MIN_RATIO * len(self.marked.numbers))
        self.too_few = len(self.candidates.numbers) < least_count

    def typical_share(self) -> float:
        """Return the share of candidates with the logits of marked objects not learned from."""
        beside = self._known & ~self._mask
        background = beside & ~ndimage.binary_dilation(self._unmarked, iterations=2)
        shares = []
        for fold in (0, 1):
            learned = self.marked.mask(self.marked.numbers[fold::2])
            logits = self._fit(learned, background)
            held_out = self.marked.means(
                logits, self.marked.numbers[1 - fold :: 2], self._typical & self._mask
            )
            found = self.candidates.means(logits, self.candidates.numbers, self._unmarked)
            if len(held_out):
                shares.append(float((found >= np.quantile(held_out, 0.25)).mean()))
        return float(np.mean(shares)) if shares else 0.0

    def separability(self) -> float:
        """Return how well a probe tells unseen candidates from unseen marked objects, 0.5 to 1."""
        areas = []
        for fold in (0, 1):
            logits = self._fit(
                self.marked.mask(self.marked.numbers[fold::2]) & self._typical,
                self.candidates.mask(self.candidates.numbers[fold::2]),
            )
            marked = self.marked.means(
                logits, self.marked.numbers[1 - fold :: 2], self._typical & self._mask
            )
            found = self.candidates.means(
                logits, self.candidates.numbers[1 - fold :: 2], self._unmarked
            )
            if len(marked) and len(found):
                areas.append(float((marked[:, None] > found[None]).mean()))
        return float(np.mean(areas)) if areas else 1.0

    def _fit(self, foreground: Mask, background: Mask) -> NDArray[np.float32]:
        """Return the logits of a probe that is fitted to two sets of cells of equal weight."""
        shot = replace(
            self._shot,
            foreground=_on_pixels(foreground, self._shot.mask),
            background=_on_pixels(background, self._shot.mask),
            sparse=torch.ones_like(self._shot.sparse),
            completed=False,
        )
        probe = fit_linear_probe([shot], self._recipe, strength=STRENGTH)
        return _logits(probe, shot, foreground.shape)


def _logits(probe: Any, shot: Shot, grid: Sequence[int]) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = probe.logits(shot.maps, tuple(grid))[0, 0].cpu().numpy()
    return logits


def _on_grid(values: Tensor) -> Mask:
    mask: Mask = (F.avg_pool2d(values, PROBE_STRIDE)[0] > 0.5).cpu().numpy()
    return mask


def _on_pixels(mask: Mask, like: Tensor) -> Tensor:
    cells = torch.from_numpy(mask).to(like)
    return cells.repeat_interleave(PROBE_STRIDE, 0).repeat_interleave(PROBE_STRIDE, 1)[None]
