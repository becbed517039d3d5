"""Cells and particles: blobs with rim, interior and nucleus, among distractors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.training.synthetic.parts.draws import (
    Draws,
    FloatArray,
    chance,
    log_uniform,
    pick,
)
from napari_vrp_sam.training.synthetic.parts.fields import Shape
from napari_vrp_sam.training.synthetic.parts.shapes import Blobs, normalised_radius, random_outlines
from napari_vrp_sam.training.synthetic.parts.textures import Colour, Texture, blend, random_colour
from napari_vrp_sam.training.synthetic.world import BoolArray, World


@dataclass(frozen=True, eq=False)
class Population:
    """Blobs that look alike; see `Blobs` for their shape."""

    radius: float  # median, in pixels
    aspect: float
    bend: float
    wobble: float
    interior: Texture
    nucleus: Texture
    nucleus_size: float  # fraction of the blob's radius; 0 for none
    rim: Colour
    rim_width: float  # in pixels; 0 for none
    halo: float  # brightness added just outside, as in phase contrast
    opacity: float
    lobes: int = 0  # number of lobes of the outline

    @classmethod
    def sample(cls, rng: np.random.Generator, *, gray: bool, radius: float) -> Population:
        """Draw a random population with the given median radius."""
        elongated = chance(rng, 0.3)
        return cls(
            radius=radius,
            aspect=float(rng.uniform(2, 6)) if elongated else float(rng.uniform(1, 1.6)),
            bend=float(rng.uniform(0, 0.25)) if elongated else 0.0,
            wobble=0.0 if chance(rng, 0.3) else float(rng.uniform(0.05, 0.5)),
            interior=Texture.sample(rng, gray=gray, contrast=0.15),
            nucleus=Texture.sample(rng, gray=gray, contrast=0.15),
            nucleus_size=float(rng.uniform(0.35, 0.7)) if chance(rng, 0.35) else 0.0,
            rim=random_colour(rng, gray=gray),
            rim_width=log_uniform(rng, 1.0, 4.0) if chance(rng, 0.35) else 0.0,
            halo=float(rng.uniform(-0.3, 0.4)) if chance(rng, 0.2) else 0.0,
            opacity=float(rng.uniform(0.5, 1.0)),
        )

    def distractor(self, rng: np.random.Generator, *, gray: bool) -> Population:
        """Return a population that differs in one or two attributes."""
        other = Population.sample(rng, gray=gray, radius=self.radius)
        result = self
        for attribute in rng.permutation(["size", "shape", "interior", "parts"])[
            : rng.integers(1, 3)
        ]:
            if attribute == "size":
                factor = rng.uniform(1.9, 3.0)
                result = replace(result, radius=self.radius * factor ** rng.choice([-1, 1]))
            elif attribute == "shape":
                aspect = rng.uniform(2.5, 5) if self.aspect < 2 else rng.uniform(1, 1.3)
                result = replace(result, aspect=float(aspect), wobble=other.wobble, bend=other.bend)
            elif attribute == "interior":
                result = replace(result, interior=self.interior.variant(rng, gray=gray))
            else:
                size = 0.0 if self.nucleus_size else 0.5
                result = replace(
                    result, nucleus=other.nucleus, nucleus_size=size, rim=other.rim, halo=other.halo
                )
        return result

    def place(self, draw: Draws, shape: Shape, count: int, *, crowded: bool) -> Blobs:
        """Place blobs at random."""
        if crowded:  # on a jittered grid, so that blobs touch but rarely overlap
            step = 2.0 * self.radius
            axes = [np.arange(0, size + step, step, dtype=np.float32) for size in shape]
            centres = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
            centres = centres[draw.fixed.permutation(len(centres))[:count]]
            centres = centres + np.float32(0.25 * step) * draw.normal(*centres.shape)
        else:
            centres = draw.uniform(0, 1, count, 2) * np.asarray(shape, dtype=np.float32)
        n = len(centres)
        return Blobs(
            centres=np.asarray(centres, dtype=np.float32),
            radii=np.maximum(1.5, self.radius * np.exp(0.2 * draw.normal(n))).astype(np.float32),
            aspects=np.maximum(1, self.aspect * np.exp(0.15 * draw.normal(n))).astype(np.float32),
            angles=np.float32(np.pi) * draw.normal(n),
            bends=np.float32(self.bend) * draw.normal(n),
            outlines=random_outlines(draw, n, self.wobble, self.lobes),
        )

    def paint(
        self,
        draw: Draws,
        image: FloatArray,
        rho: FloatArray,
        radius: FloatArray,
        gain: FloatArray,
    ) -> None:
        """Paint blobs over the image in place.

        `rho` is a result of `normalised_radius`; `radius`, in pixels, and `gain`, shape (H, W, 1),
        are the size and brightness of the blob of each pixel.
        """
        outside = (rho - 1) * radius  # in pixels, negative inside
        if self.halo:
            image += (self.halo * np.exp(-np.maximum(outside, 0) / 3) * (outside < 12))[..., None]
        opacity = np.clip(0.5 - outside, 0, 1) * np.float32(self.opacity)
        blend(image, self.interior.render(draw, image.shape[:2]) * gain, opacity)
        if self.rim_width:
            rim = np.clip(self.rim_width / 2 + 0.5 - np.abs(outside), 0, 1)
            blend(image, self.rim, rim * np.float32(self.opacity))


class Cells(World):
    """Cells and, in most worlds, distractors on a textured background.

    The class is the whole cell, its nucleus or its cytoplasm.
    """

    def __init__(self, rng: np.random.Generator, shape: Shape) -> None:
        super().__init__(rng, shape)
        gray = chance(rng, 0.6)
        radius = log_uniform(rng, 4, 0.16 * min(shape))
        population = Population.sample(rng, gray=gray, radius=radius)
        self.background = Texture.sample(rng, gray=gray, contrast=0.12)
        if chance(rng, 0.3):  # as in fluorescence microscopy
            dark = rng.uniform(0, 0.08, 3).astype(np.float32) if not gray else np.full(3, 0.04)
            self.background = self.background.recoloured(dark, dark + 0.06)
        self.populations = [population]
        if chance(rng, 0.7):
            self.populations.append(population.distractor(rng, gray=gray))
        self.role = "whole"
        if population.nucleus_size and population.radius > 9:
            self.role = pick(rng, ("whole", "nucleus", "cytoplasm"), (2, 2, 1))
        self.crowded = chance(rng, 0.4)
        self.clustered = chance(rng, 0.25)
        fill = log_uniform(rng, 0.03, 0.7 if self.crowded else 0.35)
        self.counts = [
            int(np.clip(fill * shape[0] * shape[1] / (np.pi * p.radius**2), 2, 130))
            for p in self.populations
        ]
        self.variation = float(rng.uniform(0, 0.35))

    def render(self, draw: Draws, *, absent: bool = False) -> tuple[FloatArray, BoolArray]:
        """Render cells at new places, in new numbers; see `World.render`."""
        number = draw.fixed.uniform(0.5, 1.2)
        groups = [
            p.place(draw, self.shape, max(2, round(number * n)), crowded=self.crowded)
            for p, n in zip(self.populations, self.counts, strict=True)
        ]
        sizes = [len(group) for group in groups]
        owner = np.repeat(np.arange(len(groups)), sizes)
        blobs = Blobs.concatenate(groups)
        if self.clustered:
            blobs = replace(blobs, centres=_cluster(draw, blobs.centres, self.shape))
        gains = (1 + self.variation * draw.normal(len(blobs))).clip(0.4, 1.6)
        if absent:
            keep = owner != 0
            if not keep.any():
                return self.background.render(draw, self.shape), np.zeros(self.shape, dtype=bool)
            blobs, owner, gains = blobs[keep], owner[keep], gains[keep]
        return self._paint(draw, blobs, owner, gains)

    def _paint(
        self, draw: Draws, blobs: Blobs, owner: NDArray[np.int_], gains: FloatArray
    ) -> tuple[FloatArray, BoolArray]:
        image = self.background.render(draw, self.shape)
        rho, index = normalised_radius(blobs, self.shape)
        radius, gain = blobs.radii[index], gains[index][..., None]
        belongs = np.where(index >= 0, owner[index], -1)
        mask = (belongs == 0) & (rho < 1)
        for number, population in enumerate(self.populations):
            own = np.where(belongs == number, rho, np.float32(9))
            population.paint(draw, image, own, radius, gain)
        shifts = np.float32(0.2) * draw.normal(*blobs.centres.shape) * blobs.radii[:, None]
        sizes = np.asarray([p.nucleus_size for p in self.populations], dtype=np.float32)[owner]
        if not (sizes > 0).any():
            return image, mask
        seeds = replace(
            blobs,
            centres=blobs.centres + shifts,
            radii=blobs.radii * np.maximum(sizes, 1e-2),
            aspects=np.sqrt(blobs.aspects),
            outlines=np.sqrt(blobs.outlines),
        )
        inner, which = normalised_radius(seeds, self.shape)
        inside = (inner < 1) & (which == index) & (rho < 1) & (sizes[which] > 0)
        for number, population in enumerate(self.populations):
            nucleus = inside & (belongs == number)
            if nucleus.any():
                blend(image, population.nucleus.render(draw, self.shape), nucleus)
        if self.role == "nucleus":
            mask &= inside
        elif self.role == "cytoplasm":
            mask &= ~inside
        return image, mask


def _cluster(draw: Draws, centres: FloatArray, shape: Shape) -> FloatArray:
    """Move the blobs towards a few places, so that they form clusters."""
    hubs = draw.uniform(0, 1, int(draw.fixed.integers(1, 5)), 2) * np.asarray(shape, np.float32)
    # Different densities, so that clusters have no common outline.
    spread = np.exp(draw.normal(len(centres), 2) * np.float32(0.6) - 1.2)
    nearest = hubs[draw.fixed.integers(0, len(hubs), len(centres))]
    return np.asarray(nearest + spread * (centres - nearest), dtype=np.float32)
