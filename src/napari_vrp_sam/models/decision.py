"""Decision rules: from logits of a class to the mask with the highest expected IoU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 64
"""Number of thresholds that are compared."""

PIXELS_AT_ONCE = 1 << 22
"""Number of pixels whose levels are in memory at a time."""

SHARPNESS = 1.25
"""Factor of the logits, whose probabilities are otherwise too close to one half. This and the other
settings were chosen on training datasets that the weights had not seen (see the benchmarks)."""

LOWEST = 0.1
"""Lowest threshold, so that frames without the class stay nearly empty."""

EDGE_SHARES = (0.0, 0.5)
"""Candidate shares of the guided filter's logits; the unfiltered ones have the rest.
Cross-validation chooses one for each class."""

USUAL_EDGE_SHARE = 0.3
"""The same, if the annotation allows no cross-validation."""

GUIDE_RADIUS = 8
"""Radius of the guided filter, in cells of half-size frames."""

GUIDE_EPS = 0.001
"""Variance of intensities in 0..1 below which the guided filter smooths."""


def follow_edges(logits: Tensor, intensities: Tensor, shares: Sequence[float]) -> Tensor:
    """Move the edges of masks towards those of the image; see `guided_filter`.

    Parameters
    ----------
    logits : Tensor, shape (K, 1, h, w)
    intensities : Tensor, shape (1, C, h, w)
        Feature map of a frame that begins with its three colours, see
        `probe.classical_features.intensities`.
    shares : sequence of float
        Share of the filtered logits of each of K classes, 0..1.

    Returns
    -------
    Tensor, shape (K, 1, h, w)
    """
    if not any(shares):
        return logits
    guide = intensities[:, :3].mean(dim=1, keepdim=True)
    filtered = guided_filter(logits, guide, radius=GUIDE_RADIUS, eps=GUIDE_EPS)
    # Class by class with Python numbers: a tensor of them would be copied to the device.
    mixed = [torch.lerp(logits[k], filtered[k], share) for k, share in enumerate(shares)]
    return torch.stack(mixed)


def guided_filter(logits: Tensor, guide: Tensor, *, radius: int, eps: float) -> Tensor:
    """Filter logits so that their edges follow those of the image (He et al., PAMI 2013).

    Parameters
    ----------
    logits : Tensor, shape (K, 1, h, w)
    guide : Tensor, shape (1, 1, h, w)
        Intensities in 0..1.
    radius : int
        Radius of the square window in cells.
    eps : float
        Variance of the guide below which a window counts as flat.

    Returns
    -------
    Tensor, shape (K, 1, h, w)
    """
    side = 2 * radius + 1

    def mean(values: Tensor) -> Tensor:
        # Separable, as a large square window takes long.
        rows = F.avg_pool2d(values, (side, 1), 1, (radius, 0), count_include_pad=False)
        return F.avg_pool2d(rows, (1, side), 1, (0, radius), count_include_pad=False)

    guide_mean, logits_mean = mean(guide), mean(logits)
    variance = mean(guide * guide) - guide_mean**2
    slope = (mean(guide * logits) - guide_mean * logits_mean) / (variance + eps)
    return mean(slope) * guide + mean(logits_mean - slope * guide_mean)


def shift_to_best_threshold(logits: Tensor) -> Tensor:
    """Scale and shift the logits of a frame so that 0 is the threshold with the best expected IoU.

    The expected IoU of a mask is approximated by the ratio of the expected intersection and the
    expected union, under the probabilities themselves.

    Parameters
    ----------
    logits : Tensor, shape (..., H, W)
        Logits of each class of whole frames. They are changed in place.

    Returns
    -------
    Tensor
        The same tensor.
    """
    logits.mul_(SHARPNESS)
    flat = logits.flatten(-2).reshape(-1, logits.shape[-2] * logits.shape[-1])
    overlap = ExpectedOverlap(len(flat), flat.device)
    overlap.add(flat)
    shift = overlap.best_shift().to(logits)
    return logits.sub_(shift.view(*logits.shape[:-2], 1, 1))


class ExpectedOverlap:
    """Expected overlap of masks at every threshold, gathered from parts of frames.

    Parameters
    ----------
    count : int
        Number of masks.
    device : torch.device or str
    """

    def __init__(self, count: int, device: torch.device | str = "cpu") -> None:
        self._counts = torch.zeros(count, LEVELS, dtype=torch.float64, device=device)
        self._sums = torch.zeros_like(self._counts)

    def add(self, logits: Tensor) -> None:
        """Add pixels of each mask, shape (count, N), as sharpened logits."""
        for part in torch.split(logits, PIXELS_AT_ONCE, dim=1):
            probability = part.double().sigmoid()
            level = (probability * LEVELS).long().clamp_(0, LEVELS - 1)
            self._counts.scatter_add_(1, level, torch.ones_like(probability))
            self._sums.scatter_add_(1, level, probability)

    def best_shift(self) -> Tensor:
        """Return the logit of the best threshold of each mask, shape (count,), float64."""
        # Of the pixels at and above each level.
        overlap = self._sums.flip(1).cumsum(1).flip(1)
        area = self._counts.flip(1).cumsum(1).flip(1)
        union = self._sums.sum(1, keepdim=True) + area - overlap
        best = (overlap / union.clamp_min(1e-9)).argmax(dim=1)
        best = best.clamp(round(LOWEST * LEVELS), LEVELS - 1)
        return torch.logit(best.double() / LEVELS)
