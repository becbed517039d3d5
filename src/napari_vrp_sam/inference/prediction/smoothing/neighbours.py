"""Averages of a frame's logits with those of its neighbours, which are moved onto it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

NeighboursOf = Callable[[int], Sequence[int]]

FLOW_SIDE = 256
"""Longest side of the reduced frames between which motion is estimated."""

FLOW_RADIUS = 9
"""Radius of the windows in which motion is constant, in pixels of reduced frames."""

NEIGHBOUR_WEIGHT = 0.6
"""Weight of a neighbour that looks the same after it was moved; the frame itself has 1. This and
the other settings were chosen on training datasets (see `docs/accuracy.md`)."""

ROUNDS = 2
"""Number of averages with the direct neighbours, so that a frame sees two on each side."""

MISSING = -100.0
"""Logits below this belong to pixels without data, or beside them."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Way from a frame to its neighbour.

    Attributes
    ----------
    grid : Tensor, shape (1, h, w, 2), float32
        Place in the neighbour of each cell of the reduced frame, as `grid_sample` takes it.
    weight : Tensor, shape (1, 1, h, w), float32
        Weight of the neighbour, which is lower where the frames differ.
    """

    grid: Tensor
    weight: Tensor

    def move(self, logits: Tensor) -> Tensor:
        """Move the logits (K, Y, X) of the neighbour onto the frame."""
        size = logits.shape[-2:]
        grid = _resized(self.grid.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)
        return F.grid_sample(logits[None], grid, padding_mode="border", align_corners=True)[0]


def reduced_image(planes: Tensor) -> Tensor:
    """Return the grey, standardised image (h, w) of a normalised frame (3, Y, X) for `motion`."""
    grey = planes.float().cpu().mean(dim=0)[None, None]
    factor = FLOW_SIDE / max(grey.shape[-2:])
    if factor < 1:
        size = [max(round(side * factor), 2) for side in grey.shape[-2:]]
        grey = F.interpolate(grey, size, mode="bilinear", antialias=True, align_corners=False)
    image = grey[0, 0]
    return (image - image.mean()) / (image.std() + 1e-6)


def motion(image: Tensor, neighbour: Tensor) -> Motion:
    """Estimate the optical flow (iterative Lucas-Kanade) from a frame to its neighbour.

    Parameters
    ----------
    image, neighbour : Tensor, shape (h, w)
        See `reduced_image`.
    """
    from skimage.registration import optical_flow_ilk

    flow = optical_flow_ilk(image.numpy(), neighbour.numpy(), radius=FLOW_RADIUS)
    rows, columns = np.indices(image.shape)
    places = np.stack([columns + flow[1], rows + flow[0]], axis=-1)
    sides = np.array([image.shape[1] - 1, image.shape[0] - 1])
    grid = torch.from_numpy((2 * places / sides - 1).astype(np.float32))[None]
    moved = F.grid_sample(neighbour[None, None], grid, padding_mode="border", align_corners=True)
    return Motion(grid, NEIGHBOUR_WEIGHT * torch.exp(-((moved - image) ** 2) / 2))


def average(logits: Tensor, neighbours: Sequence[tuple[Motion, Tensor]]) -> Tensor:
    """Return the weighted mean of a frame's logits (K, Y, X) and of its neighbours' moved ones."""
    total = torch.ones_like(logits[:1])
    summed = logits.clone()
    for way, other in neighbours:
        moved = way.move(other)
        # Missing pixels of the neighbour have logits that no model returns.
        weight = _resized(way.weight, logits.shape[-2:])[0] * (moved > MISSING)
        summed += weight * moved
        total = total + weight
    return summed / total


def agreement(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the IoU of two masks; NaN if both are empty."""
    union = (mask | other).sum()
    return float((mask & other).sum() / union) if union else float("nan")


def frames_around(index: int, neighbours: NeighboursOf) -> list[int]:
    """Return a frame and all frames that its smoothed result depends on."""
    found = reached = [index]
    for _ in range(ROUNDS):
        reached = [j for i in reached for j in neighbours(i) if j not in found]
        found = [*found, *dict.fromkeys(reached)]
    return found


def _resized(values: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(values, list(size), mode="bilinear", align_corners=True)
