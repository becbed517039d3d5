"""Promptable pretraining: SAM's own task, one object from points or a box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.measure import label, regionprops
from torch import Tensor

POINTS = 3
"""Points of a prompt, at most."""

MIN_AREA = 20
"""Objects below this number of pixels are not asked for."""


def geometric_task(
    masks: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Pick one object of each mask and prompt it.

    Parameters
    ----------
    masks : Tensor, shape (B, H, W)
        Class masks, 0 or 1; an object is a connected component.
    rng : Generator

    Returns
    -------
    objects : Tensor, shape (B, H, W), float32
    points : Tensor, shape (B, POINTS, 2)
        (x, y) of pixels of the object; SAM's prompt encoder adds the half pixel to their centre.
    labels : Tensor, shape (B, POINTS)
        1 for a point, -1 for one that does not count.
    boxes : Tensor, shape (B, 4)
        (x0, y0, x1, y1) of its outermost pixels, shaken by up to a tenth of the object's size.
    found : Tensor, shape (B,), bool
        Whether there was an object at all.
    """
    objects, points, labels, boxes, found = [], [], [], [], []
    for mask in masks.cpu().numpy() > 0.5:
        picked = _pick(mask, rng)
        found.append(picked is not None)
        chosen = np.zeros_like(mask) if picked is None else picked
        rows, columns = np.nonzero(chosen) if chosen.any() else (np.zeros(1), np.zeros(1))
        at = rng.integers(len(rows), size=POINTS)
        points.append(np.stack([columns[at], rows[at]], axis=1))
        used = rng.integers(1, POINTS + 1)
        labels.append(np.where(np.arange(POINTS) < used, 1, -1))
        corners = np.array([columns.min(), rows.min(), columns.max(), rows.max()], float)
        size = np.tile(corners[2:] - corners[:2], 2)
        boxes.append(corners + rng.uniform(-0.1, 0.1, 4) * size)
        objects.append(chosen)

    def tensor(values: Sequence[NDArray[Any]]) -> Tensor:
        return torch.from_numpy(np.stack(values)).float().to(masks.device)

    return (
        tensor(objects),
        tensor(points),
        tensor(labels),
        tensor(boxes),
        torch.tensor(found, device=masks.device),
    )


def _pick(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_] | None:
    parts = label(mask)
    candidates = [region.label for region in regionprops(parts) if region.area >= MIN_AREA]
    if not candidates:
        return None
    return np.asarray(parts == candidates[int(rng.integers(len(candidates)))])
