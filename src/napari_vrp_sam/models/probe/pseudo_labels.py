"""Pseudo-labels for the pixels that incomplete annotations leave unknown.

This is learning from positive and unlabelled pixels. In each of several rounds a linear probe is
fitted to the current labels, and its logits label the unknown pixels again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.morphology import remove_small_holes
from torch import Tensor

from napari_vrp_sam.models.interruption import check_interrupted
from napari_vrp_sam.models.probe.encoded_shots import Shot
from napari_vrp_sam.models.probe.ensemble import ProbeRecipe, fit_linear_probe
from napari_vrp_sam.models.probe.probe import Probe

COMPLETION_STRENGTHS = (100.0, 10.0, 1.0)
"""Ridge penalties of the rounds. Weaker ones overfit: the probe would separate the marked pixels
from unmarked pixels of the same object."""

MARKED_QUANTILE = 0.2
"""Unmarked pixels with logits below this quantile of the marked ones become background."""

OUTSIDE_QUANTILE = 0.9
"""Pixels in a box with logits below this quantile of those outside become background."""

QUANTILE_VALUES = 16_000_000
"""Largest number of values for `torch.quantile` on every version and device."""


def complete_shots(shots: Sequence[Shot], recipe: ProbeRecipe) -> list[Shot]:
    """Label the unknown pixels of incomplete annotations with the linear probe of a recipe.

    Foreground and background of the shots change, `mask` does not. If all annotations are complete,
    the shots are returned as they are.
    """
    shots = list(shots)
    if any(shot.incomplete for shot in shots):
        for strength in COMPLETION_STRENGTHS:
            probe = fit_linear_probe(shots, recipe, strength=strength)
            shots = [complete(shot, probe) for shot in shots]
    return shots


def completed_mask(shot: Shot, recipe: ProbeRecipe) -> NDArray[np.bool_]:
    """Return the mask (Y, X) of the completed labels of one class, without the frame's padding.

    Small holes are filled, because noise leaves gaps in the objects.
    """
    check_interrupted()
    (completed,) = complete_shots([shot], recipe)
    height, width = shot.features.size
    clear = (completed.foreground > completed.background)[0, :height, :width].cpu().numpy()
    # The default fills holes up to 64 pixels, 63 before scikit-image 0.26.
    mask: NDArray[np.bool_] = remove_small_holes(clear)
    return mask


def complete(shot: Shot, probe: Probe) -> Shot:
    """Run one round: label the pixels with clear logits, leave those in between unknown."""
    logits = probe.logits(shot.maps, (shot.mask.shape[-2], shot.mask.shape[-1]))[:, 0]
    unmarked = shot.known * (1 - shot.mask) * (1 - shot.excluded)
    foreground, background = [], []
    for values, mask, free, excluded, sparse in zip(
        logits, shot.mask, unmarked, shot.excluded, shot.sparse, strict=True
    ):
        # Relative to the strongest mark, because brushes may be soft or faint.
        marked = values[mask > 0.5 * mask.max()]
        if not len(marked):  # the frame does not show the class, so all of it is background
            foreground.append(mask)
            background.append(1 - mask)
        elif sparse:
            low, high = quantile(marked, MARKED_QUANTILE), quantile(marked, 0.5)
            foreground.append(torch.maximum(mask, free * (values >= high)))
            background.append(torch.maximum(excluded, free * (values < low)))
        else:
            outside = values[free > 0]
            bound = quantile(outside, OUTSIDE_QUANTILE) if len(outside) else values.min()
            # At least half of the box remains foreground.
            bound = torch.minimum(bound, marked.median())
            foreground.append(mask * (values >= bound))
            background.append(torch.maximum(1 - mask, mask * (values < bound)))
    incomplete = (shot.sparse | shot.box)[:, None, None]
    return replace(
        shot,
        foreground=torch.where(incomplete, torch.stack(foreground) * shot.known, shot.foreground),
        background=torch.where(incomplete, torch.stack(background) * shot.known, shot.background),
        completed=True,
    )


def quantile(values: Tensor, q: float) -> Tensor:
    """Return a quantile of a 1-D tensor; a very long one is subsampled evenly."""
    # Older versions of PyTorch, and Metal, refuse more than 2^24 values.
    return values[:: -(-len(values) // QUANTILE_VALUES)].quantile(q)
