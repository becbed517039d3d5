"""Other views of an annotated frame: turned, scaled, brighter or darker.

One frame shows a class in one orientation, at one scale, in one light. A probe that is fitted on
several views of it learns what they have in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

VIEW_SIDE = 640
"""Longest side of a view in pixels: of a larger frame it shows a part with the class in it."""

SCALES = (0.7, 1.4)
"""Smallest and largest zoom."""

MIN_SIDE = 16


@dataclass(frozen=True, eq=False)
class View:
    """A part of a frame, seen otherwise.

    Attributes
    ----------
    image : Tensor, shape (3, h, w)
        In 0..1.
    layers : Tensor, shape (L, h, w)
        What is known of its pixels.
    """

    image: Tensor
    layers: Tensor


def sample_view(image: Tensor, layers: Tensor, rng: np.random.Generator) -> View:
    """Draw one view.

    Parameters
    ----------
    image : Tensor, shape (3, H, W)
        In 0..1.
    layers : Tensor, shape (L, H, W)
        What is known of the pixels, 0..1. First how surely they belong to the class, then how
        surely to the background.
    rng : numpy.random.Generator
    """
    layers = torch.cat([image, layers])
    zoom = float(np.exp(rng.uniform(*np.log(SCALES))))
    layers = _window(layers, VIEW_SIDE / zoom, rng)
    size = [max(MIN_SIDE, round(side * zoom)) for side in layers.shape[1:]]
    # On the CPU, because on older releases Metal cannot resize without aliasing.
    layers = F.interpolate(
        layers[None].cpu(), size, mode="bilinear", align_corners=False, antialias=True
    )[0].to(image)
    layers = torch.rot90(layers, int(rng.integers(4)), (1, 2))
    if rng.random() < 0.5:
        layers = layers.flip(2)
    return View(_relit(layers[:3], rng), layers[3:])


def _window(layers: Tensor, side: float, rng: np.random.Generator) -> Tensor:
    """A square part with some of the class in it, or all of a frame no larger than that."""
    foreground, background = layers[3:5]
    height, width = foreground.shape
    if max(height, width) <= side:
        return layers
    # Marks may be faint all over; without any, at least something known has to be in it.
    known = foreground if bool(foreground.any()) else background
    inside = (known > 0.5 * known.max()).nonzero()
    centre = inside[int(rng.integers(len(inside)))].tolist() if len(inside) else (0, 0)
    starts = []
    for middle, length in zip(centre, (height, width), strict=True):
        # Anywhere in the window will do: the class is not always in the middle.
        start = round(middle - side * rng.uniform(0.1, 0.9))
        starts.append(min(max(start, 0), max(length - int(side), 0)))
    top, left = starts
    return layers[:, top : top + int(side), left : left + int(side)]


def _relit(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Another light: gamma, gain and offset."""
    gamma, gain = np.exp(rng.uniform(-0.3, 0.3)), np.exp(rng.uniform(-0.15, 0.15))
    relit: Tensor = gain * image.clamp(0, 1) ** gamma + rng.uniform(-0.06, 0.06)
    return relit.clamp(0, 1)
