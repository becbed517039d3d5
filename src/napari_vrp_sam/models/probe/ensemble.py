"""Fitting probes on shots: which maps they read, which cells they learn from, how they are joined.

No single probe is best everywhere. On photographs it is one that reads deep features, on textures
one that reads fine features, and where brightness decides, trees. The mean of their logits is close
to the best of them on most data (see the benchmarks).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.probe.encoded_shots import Shot, on_probe_grid
from napari_vrp_sam.models.probe.probe import (
    PERCEPTRON_STEPS,
    Probe,
    fit_linear,
    fit_perceptron,
    stratify,
)
from napari_vrp_sam.models.probe.trees import TREES, fit_trees

PROBE_CELLS = 24_576
"""Cells that an ensemble is fitted on, at most, over all views."""

TRAINING_CELLS = 2048
"""The same for the linear probe: it is fitted at every training step."""

PROBE_STRENGTH = 0.01
"""Ridge penalty of the linear probe; see `fit_linear`."""

MEMBER_LIMIT = 8.0
"""Logits of a member are clipped here: none may outvote the others by extrapolating."""

OFFSET = 0.8
"""Added to an ensemble's logits. The expected IoU is highest when pixels count as the class from
well below a probability of one half on; the value was chosen on data sets of training."""


@dataclass(frozen=True)
class ProbeRecipe:
    """Which of a shot's maps the probes read, by index, finest first.

    Attributes
    ----------
    linear : tuple of int
        Of the linear probe.
    plain : tuple of int
        Of the ensemble's perceptron that learns from the annotated frames alone.
    varied : tuple of int, optional
        Of its perceptron that learns from other views of them too.
    trees : tuple of int, optional
        Of its trees, which learn from all views.
    """

    linear: tuple[int, ...]
    plain: tuple[int, ...]
    varied: tuple[int, ...] | None = None
    trees: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class EnsembleProbe:
    """The mean of several probes.

    Attributes
    ----------
    members : tuple of (Probe, tuple of int)
        Each with the maps that it reads.
    offset : float
        Added to the mean.
    """

    members: tuple[tuple[Probe, tuple[int, ...]], ...]
    offset: float = 0.0

    def logits(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """See `Probe`."""
        votes = [
            probe.logits([maps[i] for i in levels], size).clamp(-MEMBER_LIMIT, MEMBER_LIMIT)
            for probe, levels in self.members
        ]
        return torch.stack(votes).mean(dim=0) + self.offset


def fit_linear_probe(
    shots: Sequence[Shot], recipe: ProbeRecipe, *, strength: float = PROBE_STRENGTH
) -> EnsembleProbe:
    """Fit the closed-form probe, quick enough for every training step.

    Parameters
    ----------
    shots : sequence of Shot
    recipe : ProbeRecipe
    strength : float
        See `fit_linear`.
    """
    x, y, w = draw_cells(shots, recipe.linear, TRAINING_CELLS)
    probe = fit_linear(x, y, w, strength=strength, iterations=5)
    return EnsembleProbe(((probe, recipe.linear),))


def fit_ensemble(
    shots: Sequence[Shot],
    recipe: ProbeRecipe,
    views: Sequence[Shot] = (),
    *,
    effort: float = 1.0,
) -> EnsembleProbe:
    """Fit perceptrons and trees.

    Parameters
    ----------
    shots : sequence of Shot
        The references.
    recipe : ProbeRecipe
    views : sequence of Shot
        The references seen otherwise. Not all members learn from them: in some stacks scale and
        light tell the class, and never change.
    effort : float, default 1
        Share of cells, training steps and trees to get by with, for a probe that only has to tell
        how good the real one will be.
    """
    everything = [*shots, *views]
    count, steps = round(effort * PROBE_CELLS), round(effort * PERCEPTRON_STEPS)
    cells = draw_cells(shots, recipe.plain, count)
    members: list[tuple[Probe, tuple[int, ...]]] = [
        (fit_perceptron(*cells, steps=steps), recipe.plain)
    ]
    if recipe.varied is not None:
        cells = draw_cells(everything, recipe.varied, count)
        members.append((fit_perceptron(*cells, steps=steps), recipe.varied))
    if recipe.trees is not None:
        cells = draw_cells(everything, recipe.trees, count)
        members.append((fit_trees(*cells, trees=round(effort * TREES)), recipe.trees))
    return EnsembleProbe(tuple(members), OFFSET)


def draw_cells(
    shots: Sequence[Shot], levels: Sequence[int], count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Cells to fit a probe on: labels first, then the features of the cells that were drawn.

    Parameters
    ----------
    shots : sequence of Shot
    levels : sequence of int
        Maps to read.
    count : int
        Cells of all shots together, at most; each shot gives as many.

    Returns
    -------
    features, target, weight : Tensor, shapes (B, N, D), (B, N) and (B, N)
        See `fit_linear`; the cells drawn stand for all.
    """
    parts = [_cells(shot, levels, count // len(shots)) for shot in shots]
    features, target, weight = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
    return features, target, weight


def _cells(shot: Shot, levels: Sequence[int], count: int) -> tuple[Tensor, Tensor, Tensor]:
    foreground, background = on_probe_grid(shot)
    rows, columns = foreground.shape[-2:]
    foreground, background = foreground.flatten(1), background.flatten(1)
    total = foreground + background
    target = foreground / total.clamp_min(1e-6)
    # Few marks stand for the whole object: both sides weigh alike until it is completed.
    lift = background.sum(1, keepdim=True) / foreground.sum(1, keepdim=True).clamp_min(1e-6)
    lift = torch.where(shot.sparse[:, None] & (not shot.completed), lift, torch.ones_like(lift))
    weight = foreground * lift + background
    maps = [shot.maps[level] for level in levels]
    picks = torch.arange(rows * columns, device=target.device).expand(len(target), -1)
    if rows * columns > count:
        chance, importance = stratify(target, weight)
        generator = torch.Generator().manual_seed(0)
        drawn = torch.multinomial(chance, count, replacement=True, generator=generator)
        # What is drawn stands for the whole frame: a small view weighs less than a large one.
        mass = weight.sum(1, keepdim=True) / count
        weight = importance.gather(1, drawn).to(mass) * mass
        picks = drawn.to(target.device)
        target = target.gather(1, picks)
    return _features_at(maps, picks, (rows, columns)), target, weight


def _features_at(maps: Sequence[Tensor], picks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Features of cells by their number in a grid, (B, N) -> (B, N, D); as `probe.gather` has them.

    Only the cells asked for are interpolated: all of a large frame would not fit in memory.
    """
    rows, columns = grid
    x = (2 * (picks % columns) + 1) / columns - 1
    y = (2 * (picks // columns) + 1) / rows - 1
    places = torch.stack([x, y], dim=-1)[:, :, None].to(maps[0])
    sampled = []
    for m in maps:
        # Up to the centres of the outermost cells: Metal knows no border padding on older releases.
        bound = 1 - 1 / places.new_tensor([m.shape[-1], m.shape[-2]])
        inside = places.clamp(-bound, bound)
        sampled.append(F.grid_sample(m, inside, mode="bilinear", align_corners=False))
    return torch.cat(sampled, dim=1)[..., 0].transpose(1, 2)
