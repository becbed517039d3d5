"""Two halves of what is annotated: one to learn from, the other to see how much was learned."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from napari_vrp_sam.models.probe.encoded_shots import Shot, showing


def with_hold_out(shots: Sequence[Shot]) -> list[Shot]:
    """Tell for every pixel of the references of one class which half it belongs to.

    Of several references every other one is a half; a single one is cut where it halves the class,
    across the direction in which the class reaches farthest. References that do not show the class
    do not count.

    Parameters
    ----------
    shots : sequence of Shot
        Batches of one class.
    """
    if len(showing(shots)) > 1:
        sides = itertools.count()
        return [
            replace(s, half=torch.full_like(s.mask, next(sides) % 2 if bool(s.mask.any()) else 0))
            for s in shots
        ]
    return [replace(shot, half=_beyond_median(shot.foreground)) for shot in shots]


def kept(shot: Shot, side: int) -> Shot:
    """A shot of which one half is unknown.

    Parameters
    ----------
    shot : Shot
        With `half`.
    side : {0, 1}
        The half that is left.
    """
    assert shot.half is not None
    known = shot.half if side else 1 - shot.half
    return replace(
        shot,
        mask=shot.mask * known,
        foreground=shot.foreground * known,
        background=shot.background * known,
        excluded=shot.excluded * known,
        known=shot.known * known,
    )


def _beyond_median(foreground: Tensor) -> Tensor:
    """1 beyond the median of the class, 0 before it, shape (1, H, W)."""
    along = [foreground[0].sum(dim=1).cpu(), foreground[0].sum(dim=0).cpu()]
    places = [torch.arange(len(profile), dtype=torch.float32) for profile in along]
    spreads = []
    for profile, place in zip(along, places, strict=True):
        share = profile / profile.sum().clamp_min(1e-6)
        mean = (share * place).sum()
        spreads.append(float((share * (place - mean).square()).sum()))
    axis = int(spreads[1] > spreads[0])
    reached = along[axis].cumsum(dim=0)
    beyond = (reached > reached[-1] / 2).to(foreground)
    return (beyond[None, None] if axis else beyond[None, :, None]).expand_as(foreground)
