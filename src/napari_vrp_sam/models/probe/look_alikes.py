"""Unmarked objects that look like the marked ones: the mask of an annotated frame is incomplete.

A mask states that everything unmarked is background. The search fits a probe without that
statement, as for partial masks, and takes unmarked regions with the logits of marked objects as
candidates. As other things may resemble the class, there must be many in relation to the marked
objects; and if there are enough marked objects to learn from half of them, the same search must
find the other half.
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

MIN_CANDIDATES = 3
"""Number of candidates from which a mask is called incomplete."""

RATIO, RATIO_OF_FEW = 0.3, 1.0
"""The same, relative to the number of marked objects. The values were chosen on generated stacks
and on training datasets; see benchmarks/incomplete_masks.py."""

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
    found, large = search.candidates(QUANTILE_OF_FEW if few else QUANTILE)
    if found < max(MIN_CANDIDATES, (RATIO_OF_FEW if few else RATIO) * count):
        return None
    if large > MAX_LARGE * found:
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


class _Search:
    """Marked objects and regions like them, on the probe's grid."""

    def __init__(self, shot: Shot, recipe: ProbeRecipe) -> None:
        self._shot, self._recipe = shot, recipe
        self._mask, self._known = _on_grid(shot.foreground), _on_grid(shot.known)
        self._known &= ~_on_grid(shot.excluded)
        every = _Objects.of(self._mask, 0)
        least = max(4.0, 0.1 * float(np.median(every.sizes))) if len(every.sizes) else 4.0
        self.marked = _Objects.of(self._mask, least)

    def candidates(self, quantile: float) -> tuple[int, int]:
        """Return the numbers of unmarked regions like the marked objects, and of larger ones."""
        regions, large = self._regions(self._mask, quantile)
        return len(regions.numbers), large

    def found_share(self) -> float:
        """Return how many marked objects are found by learning from the others, as a share."""
        found = held_out = 0
        for fold in (0, 1):
            learned = self.marked.mask(self.marked.numbers[fold::2])
            regions, _ = self._regions(learned, HOLD_OUT_QUANTILE)
            if len(regions.numbers):
                shares = ndimage.mean(self._mask, regions.labels, regions.numbers)
                found += int((np.asarray(shares) > OVERLAP).sum())
            held_out += len(self.marked.numbers[1 - fold :: 2])
        return found / max(held_out, 1)

    def _regions(self, learned: Mask, quantile: float) -> tuple[_Objects, int]:
        """Return regions away from the learned objects that are like them in logits and size.

        Also return the number of those that are too large.
        """
        logits = self._fit(learned)
        alike = (logits >= np.quantile(logits[learned], quantile)) & self._known
        cores = ndimage.sum_labels(alike & learned, self.marked.labels, self.marked.numbers)
        size = float(np.median(cores[cores > 0])) if (cores > 0).any() else 1.0
        near = ndimage.binary_dilation(learned, iterations=HALO)
        regions = _Objects.of(alike & ~near, max(3.0, SIZES[0] * size))
        kept = regions.sizes <= SIZES[1] * size
        found = replace(regions, numbers=regions.numbers[kept], sizes=regions.sizes[kept])
        return found, int((~kept).sum())

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
