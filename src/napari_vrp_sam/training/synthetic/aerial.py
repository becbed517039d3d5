"""Aerial scenes: plants in rows, rocks with shadows, clouds."""

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
from napari_vrp_sam.training.synthetic.parts.regions import region_map
from napari_vrp_sam.training.synthetic.parts.shapes import Blobs, normalised_radius
from napari_vrp_sam.training.synthetic.parts.textures import Texture, blend, random_colour, soften
from napari_vrp_sam.training.synthetic.world import BoolArray, World


def _ground(rng: np.random.Generator, *, gray: bool) -> list[Texture]:
    kinds = ("fractal", "grain", "band")
    first = Texture.sample(rng, gray=gray, contrast=0.2, kind=pick(rng, kinds))
    return [first, replace(first.variant(rng, gray=gray), kind=pick(rng, kinds))]


def _render_ground(draw: Draws, shape: fields.Shape, textures: list[Texture]) -> FloatArray:
    image = textures[0].render(draw, shape)
    share = np.clip(0.5 + 0.6 * fields.smooth_field(draw, shape, 60.0), 0, 1)
    blend(image, textures[1].render(draw, shape), 0.6 * share)
    return image


class Plants(World):
    """Crop in rows and weeds anywhere, on soil; the class is one of them or both."""

    def __init__(self, rng: np.random.Generator, shape: fields.Shape) -> None:
        super().__init__(rng, shape)
        gray = chance(rng, 0.25)
        self.soil = _ground(rng, gray=gray)
        green = random_colour(rng, gray=gray)
        if not gray and chance(rng, 0.7):
            level = rng.uniform(0.25, 0.7)
            green = (level * np.array([0.6, 1.0, 0.35])).astype(np.float32)
        self.populations = []
        for _ in range(2):
            leaf = Population.sample(rng, gray=gray, radius=log_uniform(rng, 6, 24))
            # Leaves of both have nearly the same colour; shape and size distinguish them.
            tone = np.clip(green * rng.uniform(0.75, 1.3), 0, 0.95).astype(np.float32)
            texture = leaf.interior.recoloured(tone * 0.8, np.clip(tone * 1.25, 0, 1))
            self.populations.append(
                replace(
                    leaf,
                    interior=texture,
                    aspect=float(rng.uniform(1, 1.5)),
                    nucleus_size=0.0,
                    halo=0.0,
                    opacity=1.0,
                    lobes=int(rng.choice([0, 3, 4, 5, 6, 8])),
                )
            )
        self.row = float(rng.uniform(2.2, 4.5)) * self.populations[0].radius
        self.angle = float(rng.normal(0, 0.3)) + (np.pi / 2 if chance(rng, 0.5) else 0.0)
        self.weeds = int(rng.integers(4, 40))
        self.role = pick(rng, ("crop", "weed", "both"), (2, 2, 1))

    def render(self, draw: Draws, *, absent: bool = False) -> tuple[FloatArray, BoolArray]:
        """Render a part of the field; see `World.render`."""
        image = _render_ground(draw, self.shape, self.soil)
        crop, weed = self.populations
        groups = [
            self._in_rows(draw, crop),
            weed.place(draw, self.shape, self.weeds, crowded=False),
        ]
        targets = {"crop": (0,), "weed": (1,), "both": (0, 1)}[self.role]
        mask = np.zeros(self.shape, dtype=bool)
        for number, (population, blobs) in enumerate(zip(self.populations, groups, strict=True)):
            if absent and number in targets:
                continue
            rho, index = normalised_radius(blobs, self.shape)
            gain = (1 + 0.15 * draw.normal(len(blobs)))[index][..., None]
            population.paint(draw, image, rho, blobs.radii[index], gain)
            inside = rho < 1
            mask = mask | inside if number in targets else mask & ~inside
        return image, mask

    def _in_rows(self, draw: Draws, population: Population) -> Blobs:
        height, width = self.shape
        reach = 0.75 * np.hypot(height, width)
        across = np.arange(-reach, reach, self.row)
        along = np.arange(-reach, reach, 1.5 * population.radius)
        places = np.stack(np.meshgrid(across, along, indexing="ij"), axis=-1).reshape(-1, 2)
        places = places + 0.2 * population.radius * draw.normal(*places.shape)
        shift = draw.uniform(-0.5, 0.5, 2) * self.row
        turn = np.array(
            [[np.cos(self.angle), np.sin(self.angle)], [-np.sin(self.angle), np.cos(self.angle)]]
        )
        centres = (places + shift) @ turn + np.array([height, width]) / 2
        margin = 2 * population.radius
        seen = ((centres > -margin) & (centres < np.array(self.shape) + margin)).all(axis=1)
        blobs = population.place(draw, self.shape, len(centres), crowded=False)
        return replace(blobs, centres=centres.astype(np.float32))[seen]


class Rocks(World):
    """Angular stones that cast shadows; the class is the stones or the shadows."""

    def __init__(self, rng: np.random.Generator, shape: fields.Shape) -> None:
        super().__init__(rng, shape)
        gray = chance(rng, 0.4)
        self.ground = _ground(rng, gray=gray)
        radius = log_uniform(rng, 5, 30)
        stone = Population.sample(rng, gray=gray, radius=radius)
        # Some stones have the ground's texture, and only shading and shadow reveal them.
        texture = self.ground[0] if chance(rng, 0.4) else stone.interior
        self.stone = replace(
            stone, interior=texture, aspect=1.3, wobble=0.2, nucleus_size=0.0, rim_width=0.0,
            halo=0.0, opacity=1.0, bend=0.0,
        )  # fmt: skip
        self.light = float(rng.uniform(0, 2 * np.pi))
        self.length = float(rng.uniform(0.4, 1.3))
        self.darkness = float(rng.uniform(0.35, 0.8))
        self.role = pick(rng, ("stone", "shadow"), (3, 1))
        area = shape[0] * shape[1]
        self.count = int(np.clip(rng.uniform(0.03, 0.3) * area / (np.pi * radius**2), 3, 90))

    def render(self, draw: Draws, *, absent: bool = False) -> tuple[FloatArray, BoolArray]:
        """Render stones at new places in the same light; see `World.render`."""
        image = _render_ground(draw, self.shape, self.ground)
        blobs = self.stone.place(draw, self.shape, self.count, crowded=False)
        if absent:
            return image, np.zeros(self.shape, dtype=bool)
        rho, index = normalised_radius(blobs, self.shape)
        away = np.array([np.sin(self.light), np.cos(self.light)]) * self.length
        cast = replace(
            blobs, centres=(blobs.centres + away * blobs.radii[:, None]).astype(np.float32)
        )
        shade, _ = normalised_radius(cast, self.shape)
        inside = rho < 1
        shadow = (shade < 1) & ~inside
        blend(image, image * np.float32(1 - self.darkness), soften(shadow, 0.8))
        # The side that faces the light is brighter.
        rows, columns = fields.grid(self.shape)
        centre = blobs.centres[index]
        offset = (rows - centre[..., 0]) * np.sin(self.light)
        offset += (columns - centre[..., 1]) * np.cos(self.light)
        gain = 1 - 0.45 * np.clip(offset / blobs.radii[index], -1, 1)
        self.stone.paint(draw, image, rho, blobs.radii[index], gain[..., None].astype(np.float32))
        return image, inside if self.role == "stone" else shadow


class Clouds(World):
    """Soft clouds over a mosaic, with their shadows; the class is one of the two."""

    def __init__(self, rng: np.random.Generator, shape: fields.Shape) -> None:
        super().__init__(rng, shape)
        gray = chance(rng, 0.2)
        self.land = [Texture.sample(rng, gray=gray) for _ in range(int(rng.integers(2, 5)))]
        self.land = [t.recoloured(0.75 * t.low, 0.75 * t.high) for t in self.land]
        self.slope = float(rng.uniform(1.2, 2.0))
        self.level = float(rng.uniform(0.2, 1.3))
        self.sharpness = log_uniform(rng, 1.5, 8)
        self.shift = rng.integers(-30, 31, 2)
        self.role = pick(rng, ("cloud", "shadow"), (3, 1))
        self.scale = log_uniform(rng, 25, 80)
        self.angle = float(rng.uniform(-1.5, 1.5))

    def render(self, draw: Draws, *, absent: bool = False) -> tuple[FloatArray, BoolArray]:
        """Render new clouds over new land; see `World.render`."""
        plots = region_map("plots", draw, self.shape, len(self.land), self.scale, self.angle)
        image = self.land[0].render(draw, self.shape)
        for number, texture in enumerate(self.land[1:], start=1):
            blend(image, texture.render(draw, self.shape), plots == number)
        if absent:
            return image, np.zeros(self.shape, dtype=bool)
        gain = fields.slope_gain(self.shape, self.slope)
        thickness = fields.gaussian_field(draw, gain, self.shape) - np.float32(self.level)
        opacity = 1 / (1 + np.exp(-np.float32(2 * self.sharpness) * thickness))
        # The field is periodic, so that a rolled copy of the clouds serves as their shadow.
        shadow = np.roll(opacity, self.shift, axis=(0, 1))
        image *= (1 - 0.6 * shadow)[..., None]
        blend(image, np.full(3, 0.93, dtype=np.float32), 0.95 * opacity)
        cloud = opacity > 0.5
        return image, cloud if self.role == "cloud" else (shadow > 0.5) & ~cloud
