"""Filaments, vessels, cracks and fibres on textured backgrounds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_vrp_sam.training.synthetic.parts.draws import Draws, FloatArray, chance, log_uniform
from napari_vrp_sam.training.synthetic.parts.fields import Shape
from napari_vrp_sam.training.synthetic.parts.regions import region_map
from napari_vrp_sam.training.synthetic.parts.shapes import draw_paths, random_walks
from napari_vrp_sam.training.synthetic.parts.textures import Texture, blend, soften
from napari_vrp_sam.training.synthetic.world import BoolArray, World


@dataclass(frozen=True, eq=False)
class Bundle:
    """Filaments that look alike."""

    width: float  # at the root, in pixels
    curl: float  # standard deviation of the change of direction per step, in radians
    stride: float  # length of a step in pixels
    count: int
    branches: int  # number of branches per filament
    taper: float  # width at the tip relative to the root
    angle_spread: float  # standard deviation of the initial direction, in radians
    ragged: float  # random variation of the width, as in cracks
    texture: Texture

    @classmethod
    def sample(cls, rng: np.random.Generator, *, gray: bool) -> Bundle:
        """Draw a random bundle."""
        width = log_uniform(rng, 1.5, 14)
        crack = chance(rng, 0.3)
        return cls(
            width=width,
            curl=float(rng.uniform(0.3, 0.7)) if crack else float(rng.uniform(0.02, 0.25)),
            stride=float(rng.uniform(4, 7)),
            count=int(rng.integers(2, max(4, int(45 / width)))),
            branches=int(rng.integers(1, 6)) if chance(rng, 0.5) else 0,
            taper=float(rng.uniform(0.2, 1.0)),
            angle_spread=float(rng.uniform(0.05, 0.3)) if chance(rng, 0.3) else np.pi,
            ragged=float(rng.uniform(0.2, 0.6)) if crack else float(rng.uniform(0, 0.15)),
            texture=Texture.sample(rng, gray=gray, contrast=0.12),
        )

    def distractor(self, rng: np.random.Generator, *, gray: bool) -> Bundle:
        """Return a bundle of different width, course or colour."""
        other = Bundle.sample(rng, gray=gray)
        if chance(rng, 0.4):
            factor = float(rng.uniform(2.2, 3.5)) ** (1 if self.width < 4 else -1)
            return replace(self, width=max(1.0, self.width * factor), count=max(2, self.count // 2))
        if chance(rng, 0.4):
            curl = 0.03 if self.curl > 0.2 else 0.5
            return replace(self, curl=curl, texture=self.texture.variant(rng, gray=gray))
        return replace(other, width=float(np.clip(other.width, 0.5 * self.width, 2 * self.width)))

    def opacity(self, draw: Draws, shape: Shape) -> FloatArray:
        """Compute the filaments' coverage of each pixel in 0..1, shape (H, W)."""
        steps = int(0.7 * max(shape) / self.stride)
        count = max(1, int(self.count * draw.fixed.uniform(0.6, 1.3)))
        starts = draw.uniform(-0.1, 1.1, count, 2) * np.asarray(shape, dtype=np.float32)
        headings = np.float32(self.angle_spread) * draw.normal(count)
        paths = random_walks(draw, starts, headings, steps, self.stride, self.curl)
        widths = self._widths(draw, np.full(count, self.width, dtype=np.float32), steps)
        sets = [(paths, widths)]
        if self.branches:
            total = count * self.branches
            at = draw.fixed.integers(0, max(1, steps // 2), total)
            parent = np.repeat(np.arange(count), self.branches)
            origin = paths[parent, at]
            ahead = paths[parent, at + 1] - origin
            side = draw.fixed.choice([-1.0, 1.0], total) * draw.uniform(0.4, 1.1, total)
            heading = np.arctan2(ahead[:, 0], ahead[:, 1]) + side
            short = max(4, int(0.6 * steps))
            twigs = random_walks(draw, origin, heading, short, self.stride, self.curl)
            sets.append((twigs, self._widths(draw, 0.65 * widths[parent, at], short)))
        opacity = np.zeros(shape, dtype=np.float32)
        for path, width in sets:
            np.maximum(opacity, draw_paths(path, width, shape), out=opacity)
        return opacity

    def _widths(self, draw: Draws, roots: FloatArray, steps: int) -> FloatArray:
        along = np.linspace(1, self.taper, steps, dtype=np.float32)
        noise = 1 + np.float32(self.ragged) * draw.normal(len(roots), steps)
        return np.asarray(np.maximum(1.0, roots[:, None] * along * noise), dtype=np.float32)


class Filaments(World):
    """Filaments as the class, different ones as distractors, on one or two textures."""

    def __init__(self, rng: np.random.Generator, shape: Shape) -> None:
        super().__init__(rng, shape)
        gray = chance(rng, 0.6)
        self.bundle = Bundle.sample(rng, gray=gray)
        self.distractors = [self.bundle.distractor(rng, gray=gray)] if chance(rng, 0.6) else []
        contrast = 0.2 if chance(rng, 0.3) else 0.1
        self.background = [Texture.sample(rng, gray=gray, contrast=contrast)]
        if chance(rng, 0.35):
            self.background.append(self.background[0].variant(rng, gray=gray))
        # Thin lines with the mean brightness of the background would be invisible.
        gap = np.mean(self.bundle.texture.low + self.bundle.texture.high) / 2
        gap -= np.mean(self.background[0].low + self.background[0].high) / 2
        if abs(gap) < 0.15:
            shift = np.float32(0.3 if gap >= 0 else -0.3)
            low, high = self.bundle.texture.low + shift, self.bundle.texture.high + shift
            texture = self.bundle.texture.recoloured(np.clip(low, 0, 1), np.clip(high, 0, 1))
            self.bundle = replace(self.bundle, texture=texture)
        self.softness = float(rng.uniform(0, 1.0))
        self.scale = log_uniform(rng, 30, 0.6 * min(shape))

    def render(self, draw: Draws, *, absent: bool = False) -> tuple[FloatArray, BoolArray]:
        """Render filaments on new courses; see `World.render`."""
        image = self.background[0].render(draw, self.shape)
        if len(self.background) > 1:
            region = region_map("blend", draw, self.shape, 2, self.scale, 0.0) == 1
            blend(image, self.background[1].render(draw, self.shape), soften(region, 2.0))
        for bundle in self.distractors:
            cover = soften(bundle.opacity(draw, self.shape), self.softness)
            blend(image, bundle.texture.render(draw, self.shape), cover)
        if absent:
            return image, np.zeros(self.shape, dtype=bool)
        opacity = self.bundle.opacity(draw, self.shape)
        blend(image, self.bundle.texture.render(draw, self.shape), soften(opacity, self.softness))
        return image, opacity > 0.5
