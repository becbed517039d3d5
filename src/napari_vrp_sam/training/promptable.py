"""SAM's promptable task: segment one object, given points or a box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.measure import label, regionprops
from torch import Tensor

MAX_POINTS = 3
MIN_AREA = 20
"""Smallest object that is prompted, in pixels."""


def sample_geometric_prompts(
    masks: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Draw one object of each mask, and points and a box that prompt it.

    Parameters
    ----------
    masks : Tensor, shape (B, H, W)
        Class masks, 0 or 1; an object is a connected component.
    rng : Generator

    Returns
    -------
    objects : Tensor, shape (B, H, W), float32
        Masks of the objects.
    points : Tensor, shape (B, MAX_POINTS, 2)
        (x, y) of pixels of the object; SAM's prompt encoder adds the half pixel to their centre.
    labels : Tensor, shape (B, MAX_POINTS)
        1 for a point, -1 for padding.
    boxes : Tensor, shape (B, 4)
        (x0, y0, x1, y1) of the outermost pixels, jittered by up to a tenth of the object's size.
    found : Tensor, shape (B,), bool
        False for masks without an object.
    """
    objects, points, labels, boxes, found = [], [], [], [], []
    for mask in masks.cpu().numpy() > 0.5:
        picked = _pick_object(mask, rng)
        found.append(picked is not None)
        chosen = np.zeros_like(mask) if picked is None else picked
        rows, columns = np.nonzero(chosen) if chosen.any() else (np.zeros(1), np.zeros(1))
        at = rng.integers(len(rows), size=MAX_POINTS)
        points.append(np.stack([columns[at], rows[at]], axis=1))
        used = rng.integers(1, MAX_POINTS + 1)
        labels.append(np.where(np.arange(MAX_POINTS) < used, 1, -1))
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


def _pick_object(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_] | None:
    components = label(mask)
    candidates = [region.label for region in regionprops(components) if region.area >= MIN_AREA]
    if not candidates:
        return None
    return np.asarray(components == candidates[int(rng.integers(len(candidates)))])
