"""Unmarked objects that look like the marked ones: the mask of an annotated frame is incomplete.

A mask states that everything unmarked is background. The search fits a probe without that
statement, as for partial masks, and takes unmarked regions with the logits of marked objects as
candidates. As other things may resemble the class, there must be many in relation to the marked
objects, and a probe that learns to tell half of the candidates from half of the marked objects must
fail on the others. With many marked objects, the same search must find half of them by learning
from the other half; with few, the candidates must have a similar area.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.calibration import LookAlikes
from napari_vrp_sam.models.probe.encoded_shots import PROBE_STRIDE, Shot
from napari_vrp_sam.models.probe.ensemble import ProbeRecipe, fit_linear_probe
from napari_vrp_sam.models.probe.pseudo_labels import COMPLETION_STRENGTHS, complete

MIN_MARKED = 2
"""Number of marked objects from which the search makes sense."""

FEW = 8
"""Number of marked objects below which none is held out."""

QUANTILE, QUANTILE_OF_FEW = 0.35, 0.15
"""Quantile of the logits of marked pixels from which unmarked ones are candidates. A probe that was
fitted to few objects describes them more closely than others of the class."""

HOLD_OUT_QUANTILE, MIN_FOUND = 0.25, 0.4
"""The same for probes that are fitted to half of the marked objects, and the share of the other
half that they must find."""

MIN_CANDIDATES, MIN_CANDIDATES_OF_FEW = 3, 4
"""Number of candidates from which a mask is called incomplete."""

RATIO, RATIO_OF_FEW = 0.2, 1.0
"""The same, relative to the number of marked objects."""

AREA_OF_FEW = 0.7
"""Total area of the candidates relative to the marked objects, as far as these are found."""

SEPARABILITY, SEPARABILITY_OF_FEW = 0.9, 0.95
"""Area under the ROC curve up to which candidates count as more objects of the class. This and the
values above were chosen on training datasets and generated stacks; see
benchmarks/incomplete_masks.py."""

SEPARATION_STRENGTH = 10.0
"""Ridge penalty of the probes that tell candidates from marked objects."""

SIZES = 0.3, 4.0
"""Areas of candidates relative to the median of the marked objects, as far as they are found."""

MAX_LARGE = 0.5
"""Largest number of regions above these areas, relative to the candidates: large regions show that
the probe does not know the class."""

OVERLAP = 0.3
"""Share of a found region inside marked objects from which it counts as one of them."""

MAX_REFERENCES = 3
"""Number of references that are searched."""

HALO = 2
"""Cells around marked objects that are no candidates: outlines drawn by hand are not exact."""

Mask = NDArray[np.bool_]


@torch.no_grad()
def find_look_alikes(shot: Shot, recipe: ProbeRecipe, class_id: int = 1) -> LookAlikes | None:
    """Return the look-alikes of a mask of one class (B = 1); None if it seems to be complete."""
    if shot.incomplete or not bool(shot.mask.any()):
        return None
    search = _Search(shot, recipe)
    count = len(search.marked.numbers)
    if count < MIN_MARKED:
        return None
    few = count < FEW
    candidates = search.candidates(QUANTILE_OF_FEW if few else QUANTILE)
    found = len(candidates.objects.numbers)
    least, ratio = (MIN_CANDIDATES_OF_FEW, RATIO_OF_FEW) if few else (MIN_CANDIDATES, RATIO)
    if found < max(least, ratio * count) or candidates.large > MAX_LARGE * found:
        return None
    if few and candidates.area < AREA_OF_FEW:
        return None
    if search.separability() > (SEPARABILITY_OF_FEW if few else SEPARABILITY):
        return None
    if not few and search.found_share() < MIN_FOUND:
        return None
    return LookAlikes(class_id, count, found)


def most_look_alikes(
    references: Sequence[EncodedReference], shots: Sequence[Shot], recipe: ProbeRecipe
) -> LookAlikes | None:
    """Return the most look-alikes of the first masks; None if these seem to be complete.

    `shots` are those of the references of one class.
    """
    most: LookAlikes | None = None
    shown = [pair for pair in zip(references, shots, strict=True) if bool(pair[1].mask.any())]
    for reference, shot in shown[:MAX_REFERENCES]:  # all of many frames would take long
        found = find_look_alikes(shot, recipe, reference.class_id)
        if found is not None and (most is None or found.unmarked > most.unmarked):
            # Crops of large frames have negative numbers.
            frame = reference.frame
            most = replace(found, frame=None if frame is None or frame < 0 else frame)
    return most


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


@dataclass(frozen=True, eq=False)
class _Regions:
    """Unmarked regions like marked objects in logits and size, and those that are too large.

    `alike` are all pixels with such logits; `area` is relative to those of marked objects.
    """

    objects: _Objects
    large: int
    alike: Mask
    area: float


class _Search:
    """Marked objects and regions like them, on the probe's grid."""

    def __init__(self, shot: Shot, recipe: ProbeRecipe) -> None:
        self._shot, self._recipe = shot, recipe
        self._mask, self._known = _on_grid(shot.foreground), _on_grid(shot.known)
        self._known &= ~_on_grid(shot.excluded)
        every = _Objects.of(self._mask, 0)
        least = max(4.0, 0.1 * float(np.median(every.sizes))) if len(every.sizes) else 4.0
        self.marked = _Objects.of(self._mask, least)

    def candidates(self, quantile: float) -> _Regions:
        """Return unmarked regions like the marked objects."""
        return self._regions(self._logits, self._mask, quantile)

    def separability(self) -> float:
        """Return how well unseen candidates are told from unseen marked objects; 0.5: by chance."""
        found = self.candidates(QUANTILE)
        marked = np.where(found.alike & self._mask, self.marked.labels, 0)
        areas = []
        for fold in (0, 1):
            learned = found.objects.numbers[fold::2]
            others = found.objects.numbers[1 - fold :: 2]
            held_out = np.intersect1d(self.marked.numbers[1 - fold :: 2], marked)
            if len(learned) and len(others) and len(held_out):
                objects = np.isin(marked, self.marked.numbers[fold::2])
                logits = self._fit_to_separate(objects, found.objects.mask(learned))
                ours = np.asarray(ndimage.mean(logits, marked, held_out))
                theirs = np.asarray(ndimage.mean(logits, found.objects.labels, others))
                areas.append(float((ours[:, None] > theirs).mean()))
        return float(np.mean(areas)) if areas else 0.5

    def found_share(self) -> float:
        """Return how many marked objects are found by learning from the others, as a share."""
        found = held_out = 0
        for fold in (0, 1):
            learned = self.marked.mask(self.marked.numbers[fold::2])
            regions = self._regions(self._fit(learned), learned, HOLD_OUT_QUANTILE).objects
            if len(regions.numbers):
                shares = ndimage.mean(self._mask, regions.labels, regions.numbers)
                found += int((np.asarray(shares) > OVERLAP).sum())
            held_out += len(self.marked.numbers[1 - fold :: 2])
        return found / max(held_out, 1)

    def _regions(self, logits: NDArray[np.float32], learned: Mask, quantile: float) -> _Regions:
        """Return regions away from the learned objects that are like them in logits and size."""
        alike = (logits >= np.quantile(logits[learned], quantile)) & self._known
        cores = ndimage.sum_labels(alike & learned, self.marked.labels, self.marked.numbers)
        size = float(np.median(cores[cores > 0])) if (cores > 0).any() else 1.0
        near = ndimage.binary_dilation(learned, iterations=HALO)
        regions = _Objects.of(alike & ~near, max(3.0, SIZES[0] * size))
        kept = regions.sizes <= SIZES[1] * size
        found = replace(regions, numbers=regions.numbers[kept], sizes=regions.sizes[kept])
        area = float(found.sizes.sum()) / max(int((alike & learned).sum()), 1)
        return _Regions(found, int((~kept).sum()), alike, area)

    @cached_property
    def _logits(self) -> NDArray[np.float32]:
        return self._fit(self._mask)

    def _fit_to_separate(self, foreground: Mask, background: Mask) -> NDArray[np.float32]:
        """Return the logits of a probe that is fitted to two sets of cells of equal weight."""
        shot = replace(
            self._shot,
            foreground=_on_pixels(foreground, self._shot.mask),
            background=_on_pixels(background, self._shot.mask),
            sparse=torch.ones_like(self._shot.sparse),
            completed=False,
        )
        probe = fit_linear_probe([shot], self._recipe, strength=SEPARATION_STRENGTH)
        return _logits(probe, shot, foreground.shape)

    def _fit(self, learned: Mask) -> NDArray[np.float32]:
        """Return the logits of a probe that knows nothing of pixels that are not learned."""
        pixels = _on_pixels(learned, self._shot.mask) * self._shot.known
        partial = replace(
            self._shot,
            mask=pixels,
            foreground=pixels,
            background=self._shot.known - pixels,
            sparse=torch.ones_like(self._shot.sparse),
        )
        for strength in COMPLETION_STRENGTHS:
            probe = fit_linear_probe([partial], self._recipe, strength=strength)
            partial = complete(partial, probe)
        return _logits(probe, self._shot, learned.shape)


def _logits(probe: Any, shot: Shot, grid: Sequence[int]) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = probe.logits(shot.maps, tuple(grid))[0, 0].cpu().numpy()
    return logits


def _on_grid(values: Tensor) -> Mask:
    mask: Mask = (F.avg_pool2d(values, PROBE_STRIDE)[0] > 0.5).cpu().numpy()
    return mask


def _on_pixels(mask: Mask, like: Tensor) -> Tensor:
    cells = torch.from_numpy(mask).to(like)
    return cells.repeat_interleave(PROBE_STRIDE, 0).repeat_interleave(PROBE_STRIDE, 1)[None]
