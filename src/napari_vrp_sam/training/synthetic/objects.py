"""Objects composed of differently textured parts, in clutter, as in photographs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_vrp_sam.training.synthetic.parts.draws import Draws, FloatArray, chance, log_uniform
from napari_vrp_sam.training.synthetic.parts.fields import Shape
from napari_vrp_sam.training.synthetic.parts.regions import region_map
from napari_vrp_sam.training.synthetic.parts.shapes import draw_polygons
from napari_vrp_sam.training.synthetic.parts.textures import Texture, blend, soften
from napari_vrp_sam.training.synthetic.world import BoolArray, World

_THETA = np.linspace(0, 2 * np.pi, 40, endpoint=False, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class ObjectPart:
    """One part of an object, in units of the object's size."""

    centre: FloatArray  # shape (2,)
    outline: FloatArray  # vertices (V, 2) relative to the centre
    hinge: float  # standard deviation of the rotation about the object's centre, in radians
    texture: int  # index of the world's texture


def _outline(rng: np.random.Generator, size: float) -> FloatArray:
    """Draw a smooth or angular shape of about the given radius."""
    if chance(rng, 0.4):  # a polygon with three to six corners
        corners = np.sort(
            rng.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, rng.integers(4, 8))[:-1]
        )
        points = np.stack([np.sin(corners), np.cos(corners)], axis=1)
    else:
        radius = 1 + sum(
            rng.normal(0, 0.35 / k) * np.cos(k * _THETA + rng.uniform(0, 6.28)) for k in (2, 3, 4)
        )
        circle = np.stack([np.sin(_THETA), np.cos(_THETA)], axis=1)
        points = circle * np.clip(radius, 0.3, 2)[:, None]
    stretch = np.sqrt(rng.uniform(1, 3.5))
    turn = rng.uniform(0, np.pi)
    basis = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    stretched = size * points * np.array([stretch, 1 / stretch])
    return np.asarray(stretched @ basis, dtype=np.float32)


def _parts(rng: np.random.Generator, textures: int) -> list[ObjectPart]:
    """Draw a body and up to six parts around its border, the last one on top."""
    body = ObjectPart(np.zeros(2, np.float32), _outline(rng, 0.6), 0.0, int(rng.integers(textures)))
    parts = [body]
    for _ in range(int(rng.integers(1, 7))):
        angle = rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.2, 0.75)
        centre = reach * np.array([np.sin(angle), np.cos(angle)], dtype=np.float32)
        outline = _outline(rng, rng.uniform(0.12, 0.4))
        parts.append(
            ObjectPart(centre, outline, float(rng.uniform(0, 0.35)), int(rng.integers(textures)))
        )
    return parts


def _textures(rng: np.random.Generator, count: int, *, gray: bool) -> list[Texture]:
    return [Texture.sample(rng, gray=gray, contrast=0.2) for _ in range(count)]


class Objects(World):
    """One kind of object as the class, other kinds as distractors, on cluttered ground.

    The kinds share textures, so that no single texture identifies the class.
    """

    def __init__(self, rng: np.random.Generator, shape: Shape) -> None:
        super().__init__(rng, shape)
        gray = chance(rng, 0.15)
        number = int(rng.integers(3, 7))
        self.textures = _textures(rng, number, gray=gray)
        self.kinds = [_parts(rng, number) for _ in range(int(rng.integers(2, 5)))]
        self.ground = [
            Texture.sample(rng, gray=gray, contrast=0.2) for _ in range(int(rng.integers(1, 4)))
        ]
        self.size = log_uniform(rng, 0.09, 0.5) * min(shape)
        # Objects are upright (cars, animals) or lie in any direction (tools on a table).
        self.tumble = np.pi if chance(rng, 0.3) else float(rng.uniform(0, 0.4))
        self.mirror = chance(rng, 0.7)
        self.many = 1 + int(rng.integers(0, max(1, int(0.25 * min(shape) / self.size)) + 1))
        self.others = int(rng.integers(0, 6))
        self.scale = log_uniform(rng, 30, 120)
        self.shadow = float(rng.uniform(0, 0.5))

    def render(self, draw: Draws, *, absent: bool = False) -> tuple[FloatArray, BoolArray]:
        """Render objects in new poses and new clutter; see `World.render`."""
        image = self._clutter(draw)
        polygons: list[tuple[FloatArray, int]] = []
        classes: list[int] = []
        members = [0] * int(draw.fixed.integers(1, self.many + 1))
        others = draw.fixed.integers(1, len(self.kinds), self.others).tolist()
        kinds = draw.fixed.permutation(members + others)
        for kind in kinds:
            placed = self._instance(draw, self.kinds[int(kind)])
            if (absent and kind == 0) or len(polygons) + len(placed) > 250:
                continue
            polygons += placed
            classes += [int(kind)] * len(placed)
        numbered = [(vertices, i + 1) for i, (vertices, _) in enumerate(polygons)]
        index = draw_polygons(numbered, self.shape)
        covered = index > 0
        image *= (1 - self.shadow * soften(covered, 4.0))[..., None]
        fill = np.array([-1] + [texture for _, texture in polygons])[index]
        shade = (1 + 0.12 * draw.normal(len(polygons) + 1))[index][..., None]
        for number, texture in enumerate(self.textures):
            region = fill == number
            if region.any():
                blend(image, texture.render(draw, self.shape) * shade, region)
        mask = np.array([-1, *classes])[index] == 0
        return image, mask

    def _clutter(self, draw: Draws) -> FloatArray:
        image = self.ground[0].render(draw, self.shape)
        if len(self.ground) > 1:
            index = region_map("voronoi", draw, self.shape, len(self.ground), self.scale, 0.0)
            for number, texture in enumerate(self.ground[1:], start=1):
                blend(image, texture.render(draw, self.shape), soften(index == number, 0.7))
        return image

    def _instance(self, draw: Draws, parts: list[ObjectPart]) -> list[tuple[FloatArray, int]]:
        """Return the polygons of one object, each with its texture."""
        centre = draw.uniform(0.05, 0.95, 2) * np.asarray(self.shape, dtype=np.float32)
        size = self.size * float(np.exp(0.25 * draw.normal(1)[0]))
        turn = self.tumble * float(draw.normal(1)[0])
        flip = -1.0 if self.mirror and draw.fixed.random() < 0.5 else 1.0
        # Slight shear and stretch, as from a change of perspective.
        pose = np.eye(2) + 0.12 * draw.normal(2, 2)
        result = []
        for part in parts:
            swing = turn + part.hinge * float(draw.normal(1)[0])
            basis = np.array([[np.cos(swing), -np.sin(swing)], [np.sin(swing), np.cos(swing)]])
            points = (part.centre + part.outline) * np.array([1.0, flip])
            vertices = centre + size * (points @ basis) @ pose
            result.append((vertices.astype(np.float32), part.texture))
        return result
