"""Membrane networks with organelles, as in electron micrographs of tissue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_vrp_sam.training.synthetic.cells import Population
from napari_vrp_sam.training.synthetic.parts import fields
from napari_vrp_sam.training.synthetic.parts.draws import (
    Draws,
    FloatArray,
    chance,
    log_uniform,
    pick,
)
from napari_vrp_sam.training.synthetic.parts.regions import voronoi
from napari_vrp_sam.training.synthetic.parts.shapes import normalised_radius
from napari_vrp_sam.training.synthetic.parts.textures import Texture, blend, random_colour, soften
from napari_vrp_sam.training.synthetic.world import BoolArray, World

ROLES = ("membrane", "organelle", "cells", "interior", "sheath")


class Membranes(World):
    """Warped Voronoi cells with membranes, organelles and, in some worlds, (myelin) sheaths.

    The class is the membrane, one kind of organelle, the cells of one texture, the interior of the
    sheathed cells (axons), or the sheath.
    """

    def __init__(self, rng: np.random.Generator, shape: fields.Shape) -> None:
        super().__init__(rng, shape)
        gray = chance(rng, 0.8)
        self.role = pick(rng, ROLES, (2, 3, 1.5, 1, 1))
        self.spacing = log_uniform(rng, 18, 0.4 * min(shape))
        self.warp = float(rng.uniform(0.04, 0.2)) * self.spacing
        self.width = log_uniform(rng, 2, min(9.0, 0.2 * self.spacing))
        self.interior = Texture.sample(rng, gray=gray, contrast=0.12)
        base = (self.interior.low + self.interior.high) / 2
        self.other = self.interior.variant(rng, gray=gray)
        self.share = float(rng.uniform(0.15, 0.5))
        # Membranes are brighter or darker than both interiors.
        away = float(rng.uniform(0.2, 0.5)) * (-1 if base.mean() > 0.45 else 1)
        self.stain = np.clip(base + np.float32(away), 0, 1).astype(np.float32)
        self.sheathed = self.role in ("interior", "sheath") or chance(rng, 0.15)
        self.sheath = float(rng.uniform(0.15, 0.35)) * self.spacing
        stain = np.clip(base + np.float32(rng.uniform(0.8, 1.5) * away), 0, 1)
        self.sheath_colour = stain.astype(np.float32)
        radius = log_uniform(rng, 4, max(5.0, 0.35 * self.spacing))
        self.organelles = [_organelle(rng, radius, gray=gray)]
        if chance(rng, 0.6):
            self.organelles.append(self.organelles[0].distractor(rng, gray=gray))
        if chance(rng, 0.4):  # vesicles
            vesicle = _organelle(rng, float(rng.uniform(2, 3.5)), gray=gray)
            self.organelles.append(replace(vesicle, aspect=1.1, bend=0.0))
        if self.role != "organelle" and chance(rng, 0.3):
            self.organelles = []
        area = shape[0] * shape[1]
        self.counts = [
            int(np.clip(rng.uniform(0.03, 0.2) * area / (np.pi * o.radius**2), 3, 80))
            for o in self.organelles
        ]

    def render(self, draw: Draws, *, absent: bool = False) -> tuple[FloatArray, BoolArray]:
        """Render tissue with new cells; see `World.render`."""
        index, border = voronoi(draw, self.shape, self.spacing, self.warp)
        marked = (draw.fixed.random(index.max() + 1) < self.share)[index]
        if absent and self.role in ("cells", "interior", "sheath"):
            marked[:] = False
        image = self.interior.render(draw, self.shape)
        blend(image, self.other.render(draw, self.shape), marked)
        distance = border / 2
        edge = distance < self.width / 2
        ring = marked & ~edge & (distance < self.sheath) & self.sheathed
        no_membrane = absent and self.role == "membrane"
        without = absent and self.role == "organelle"
        found = self._organelles(draw, image, ~(edge | ring), without_first=without)
        if not no_membrane:
            blend(image, self.stain, soften(edge, 0.6))
        if self.sheathed:
            blend(image, self.sheath_colour, soften(ring, 0.5))
        masks = {
            "membrane": edge & (not no_membrane),
            "organelle": found,
            "cells": marked & ~edge,
            "interior": marked & ~edge & ~ring,
            "sheath": ring,
        }
        return image, masks[self.role]

    def _organelles(
        self, draw: Draws, image: FloatArray, room: BoolArray, *, without_first: bool
    ) -> BoolArray:
        """Paint the organelles within `room`; return the mask of the first kind."""
        first = np.zeros(self.shape, dtype=bool)
        for number, organelle in enumerate(self.organelles):
            blobs = organelle.place(draw, self.shape, self.counts[number], crowded=False)
            if number == 0 and without_first:
                continue
            rho, index = normalised_radius(blobs, self.shape)
            # Organelles end at membranes.
            rho = np.where(room, rho, np.float32(9))
            gain = np.ones((1, 1, 1), dtype=np.float32)
            organelle.paint(draw, image, rho, blobs.radii[index], gain)
            inside = rho < 1
            first = inside if number == 0 else first & ~inside
        return first


def _organelle(rng: np.random.Generator, radius: float, *, gray: bool) -> Population:
    kind = pick(rng, ("stripes", "band", "flat", "spots", "grain"))
    organelle = Population.sample(rng, gray=gray, radius=radius)
    texture = replace(
        Texture.sample(rng, gray=gray, contrast=0.2, kind=kind), wavelength=log_uniform(rng, 3, 8)
    )
    return replace(
        organelle,
        interior=texture,
        aspect=float(rng.uniform(1, 3)),
        nucleus_size=0.0,
        halo=0.0,
        opacity=float(rng.uniform(0.75, 1)),
        rim=random_colour(rng, gray=gray),
    )
