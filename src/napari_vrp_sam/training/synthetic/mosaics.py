"""Mosaics of textures, of which one or two are the class."""

from __future__ import annotations

import numpy as np

from napari_vrp_sam.training.synthetic.parts.draws import (
    Draws,
    FloatArray,
    chance,
    log_uniform,
    pick,
)
from napari_vrp_sam.training.synthetic.parts.fields import Shape
from napari_vrp_sam.training.synthetic.parts.regions import REGIONS, region_map
from napari_vrp_sam.training.synthetic.parts.textures import Texture, blend, soften
from napari_vrp_sam.training.synthetic.world import BoolArray, World


class Mosaic(World):
    """Regions filled with two to six textures, of which the first one or two are the class.

    Some of the other textures have either the colours or the pattern of the class.
    """

    def __init__(self, rng: np.random.Generator, shape: Shape) -> None:
        super().__init__(rng, shape)
        gray = chance(rng, 0.5)
        contrast = log_uniform(rng, 0.06, 0.35)
        self.textures = [Texture.sample(rng, gray=gray, contrast=contrast)]
        for _ in range(int(rng.integers(1, 6))):
            near = chance(rng, 0.4)
            self.textures.append(
                self.textures[0].variant(rng, gray=gray)
                if near
                else Texture.sample(rng, gray=gray, contrast=contrast)
            )
        # Some classes look different from place to place, as 'building' or 'vegetation' do.
        self.members = 2 if len(self.textures) > 3 and chance(rng, 0.15) else 1
        self.regions = pick(rng, REGIONS, (3, 2, 3, 1, 2))
        self.scale = log_uniform(rng, 18, 0.5 * min(shape))
        self.angle = float(rng.uniform(-np.pi / 2, np.pi / 2))
        self.softness = 0.0 if chance(rng, 0.5) else float(rng.uniform(0.5, 2.5))

    def render(self, draw: Draws, *, absent: bool = False) -> tuple[FloatArray, BoolArray]:
        """Render a mosaic; the last texture replaces an absent class. See `World.render`."""
        count = len(self.textures)
        index = region_map(self.regions, draw, self.shape, count, self.scale, self.angle)
        if absent:
            index = np.where(index < self.members, count - 1, index)
        image = self.textures[-1].render(draw, self.shape)
        for number, texture in enumerate(self.textures[:-1]):
            layer = texture.render(draw, self.shape)
            region = index == number
            if region.any():
                blend(image, layer, soften(region, self.softness))
        return image, index < self.members
