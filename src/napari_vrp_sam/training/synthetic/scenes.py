"""Sets of synthetic frames of one world: the references and targets of an episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.training.synthetic.aerial import Clouds, Plants, Rocks
from napari_vrp_sam.training.synthetic.cells import Cells
from napari_vrp_sam.training.synthetic.filaments import Filaments
from napari_vrp_sam.training.synthetic.membranes import Membranes
from napari_vrp_sam.training.synthetic.mosaics import Mosaic
from napari_vrp_sam.training.synthetic.objects import Objects
from napari_vrp_sam.training.synthetic.parts.draws import Draws, FloatArray, chance
from napari_vrp_sam.training.synthetic.parts.fields import Shape
from napari_vrp_sam.training.synthetic.parts.looks import Look
from napari_vrp_sam.training.synthetic.world import World

WORLDS: Mapping[str, type[World]] = {
    "mosaic": Mosaic,
    "cells": Cells,
    "filaments": Filaments,
    "membranes": Membranes,
    "plants": Plants,
    "rocks": Rocks,
    "clouds": Clouds,
    "objects": Objects,
}
_WEIGHTS = {"mosaic": 5, "cells": 4, "filaments": 2, "membranes": 3,
           "plants": 1, "rocks": 1, "clouds": 0.7, "objects": 3}  # fmt: skip
_COVERAGE = (0.003, 0.9)
"""Smallest and largest fraction of a reference that the class may cover."""
_TRIES = 8


@dataclass(frozen=True, eq=False)
class SceneSet:
    """Frames of one world, references first."""

    images: FloatArray  # (N, H, W, 3), in 0..1
    masks: NDArray[np.uint8]  # (N, H, W), 1 on the class, 0 elsewhere
    world: str  # name of the world in `WORLDS`
    stack: bool  # True if the frames are consecutive slices of one stack


class SyntheticScenes:
    """Generator of frames and masks of random classes.

    Parameters
    ----------
    shape : tuple of int, default: (256, 256)
        Height and width of the frames.
    worlds : sequence of str, optional
        Names from `WORLDS` to draw from; default: all.
    stack : float, default: 0.35
        Probability that the frames are slices of one stack rather than independent layouts.
    absent : float, default: 0.1
        Probability that a target does not contain the class.

    Raises
    ------
    InputError
        If `worlds` is empty or contains an unknown name.
    """

    def __init__(
        self,
        shape: Shape = (256, 256),
        *,
        worlds: Sequence[str] | None = None,
        stack: float = 0.35,
        absent: float = 0.1,
    ) -> None:
        self.shape = shape
        self.names = list(WORLDS if worlds is None else worlds)
        unknown = [name for name in self.names if name not in WORLDS]
        if unknown or not self.names:
            raise InputError(f"Unknown synthetic worlds {unknown}: choose from {sorted(WORLDS)}.")
        weights = np.array([_WEIGHTS[name] for name in self.names], dtype=float)
        self._weights = weights / weights.sum()
        self.stack = stack
        self.absent = absent

    def sample(self, rng: np.random.Generator, references: int = 1, targets: int = 2) -> SceneSet:
        """Render `references` and then `targets` frames of one world.

        The class occurs in each reference.
        """
        # A world whose class rarely occurs is replaced by another one.
        while True:
            name = self.names[int(rng.choice(len(self.names), p=self._weights))]
            frames = self._frames(WORLDS[name](rng, self.shape), rng, references, targets)
            if frames is not None:
                images, masks, stack = frames
                return SceneSet(np.stack(images), np.stack(masks).astype(np.uint8), name, stack)

    def _frames(
        self, world: World, rng: np.random.Generator, references: int, targets: int
    ) -> tuple[list[FloatArray], list[NDArray[np.bool_]], bool] | None:
        stack = chance(rng, self.stack)
        step = float(rng.uniform(0.02, 0.25))
        seed = int(rng.integers(2**62))
        images, masks = [], []
        look = Look.sample(rng)
        for number in range(references + targets):
            absent = number >= references and chance(rng, self.absent)
            for attempt in range(_TRIES):
                depth = step * number if stack else 0.0
                draw = Draws(seed if stack else int(rng.integers(2**62)), depth)
                image, mask = world.render(draw, absent=absent)
                low, high = _COVERAGE
                if absent or (low if number < references else 0) <= mask.mean() <= high:
                    break
                if stack:  # single slices cannot be redrawn
                    return None
                if attempt == _TRIES - 1 or (number == 0 and attempt == 2):
                    return None
            images.append(look.jittered(rng).apply(image, rng))
            masks.append(mask)
        return images, masks, stack
