"""What incomplete annotations leave open: the rest of the class, and the background.

Learning from positive and unlabelled pixels, in rounds: a rough probe, fitted on the marks, says
which of the other pixels are like them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from napari_vrp_sam.models.probe.encoded_shots import Shot
from napari_vrp_sam.models.probe.ensemble import ProbeRecipe, fit_linear_probe
from napari_vrp_sam.models.probe.probe import Probe

COMPLETION_STRENGTHS = (100.0, 10.0, 1.0)
"""Ridge penalties of the rounds. Strong ones, since a probe free to learn the marked pixels by
heart tells them from unmarked pixels of the same object."""

MARKED_QUANTILE = 0.2
"""Unmarked pixels less like the class than this share of the marked ones are background."""

OUTSIDE_QUANTILE = 0.9
"""Pixels in a box no more like the class than this share of those around it are background."""

QUANTILE_VALUES = 16_000_000
"""Values that `torch.quantile` takes on every release and device."""


def complete_shots(shots: Sequence[Shot], recipe: ProbeRecipe) -> list[Shot]:
    """Say of each pixel what it is, as far as a rough probe can tell.

    Parameters
    ----------
    shots : sequence of Shot
    recipe : ProbeRecipe
        Its linear probe is fitted.

    Returns
    -------
    list of Shot
        With foreground and background as the last round saw them; masks stay as they were drawn.
    """
    shots = list(shots)
    if any(bool((shot.sparse | shot.loose).any()) for shot in shots):
        for strength in COMPLETION_STRENGTHS:
            rough = fit_linear_probe(shots, recipe, strength=strength)
            shots = [complete(shot, rough) for shot in shots]
    return shots


def complete(shot: Shot, probe: Probe) -> Shot:
    """One round: the reliable pixels are kept on either side, those between count for neither."""
    size = (shot.mask.shape[-2], shot.mask.shape[-1])
    belief = probe.logits(shot.maps, size)[:, 0]
    unmarked = shot.known * (1 - shot.mask) * (1 - shot.excluded)
    foreground, background = [], []
    for b, mask, free, excluded, sparse in zip(
        belief, shot.mask, unmarked, shot.excluded, shot.sparse, strict=True
    ):
        # Half of the strongest mark: brushes may be soft, or faint all over.
        marked = b[mask > 0.5 * mask.max()]
        if not len(marked):  # the frame does not show the class, so nothing is open
            foreground.append(mask)
            background.append(1 - mask)
        elif sparse:
            low, high = quantile(marked, MARKED_QUANTILE), quantile(marked, 0.5)
            foreground.append(torch.maximum(mask, free * (b >= high)))
            background.append(torch.maximum(excluded, free * (b < low)))
        else:
            around = b[free > 0]
            bound = quantile(around, OUTSIDE_QUANTILE) if len(around) else b.min()
            # Half of the box is kept whatever comes.
            bound = torch.minimum(bound, marked.median())
            foreground.append(mask * (b >= bound))
            background.append(torch.maximum(1 - mask, mask * (b < bound)))
    incomplete = (shot.sparse | shot.loose)[:, None, None]
    return replace(
        shot,
        foreground=torch.where(incomplete, torch.stack(foreground) * shot.known, shot.foreground),
        background=torch.where(incomplete, torch.stack(background) * shot.known, shot.background),
        completed=True,
    )


def quantile(values: Tensor, share: float) -> Tensor:
    """`torch.quantile` of any number of values, shape (N,): of very many, evenly spaced ones."""
    # Older releases, and Metal still, refuse more than 2^24 values.
    return values[:: -(-len(values) // QUANTILE_VALUES)].quantile(share)
