"""Fitting of probes to shots: sampling of cells, and ensembles of several probes.

No single kind of probe is best on all data: deep features suit photographs, fine features suit
textures, and trees suit classes defined by brightness. The mean of their logits is close to the
best of them on most data (see the benchmarks).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.parallel import run_parallel
from napari_vrp_sam.models.probe.encoded_shots import Shot, pool_labels
from napari_vrp_sam.models.probe.probe import (
    PERCEPTRON_STEPS,
    Probe,
    fit_linear,
    fit_perceptron,
    stratify,
)
from napari_vrp_sam.models.probe.trees import TREES, fit_trees

PROBE_CELLS = 24_576
"""Largest number of cells that a member of an ensemble is fitted to."""

TRAINING_CELLS = 2048
"""Largest number of cells for the linear probe, which is fitted at every training step."""

PROBE_STRENGTH = 0.01
"""Default ridge penalty of the linear probe; see `fit_linear`."""

MEMBER_LIMIT = 8.0
"""Bound of each member's logits, so that none outvotes the others by extrapolation."""

OFFSET = 0.8
"""Value added to the logits of an ensemble. The expected IoU is highest if pixels belong to the
class from a probability well below one half; the value was chosen on training datasets."""


VIEW_TREES, PLAIN_TREES = 20, 15
"""Numbers of trees that are fitted with and without views, instead of one forest of `TREES`. Where
brightness does not change, as in stacks, those without views separate classes that differ in
brightness only."""


@dataclass(frozen=True)
class ProbeRecipe:
    """Indices of the feature maps that each kind of probe reads, finest first.

    `perceptron` is fitted to the annotated frames only, `view_perceptron` and `trees` also to
    augmented views of them. `plain_trees` are fitted to the annotated frames only, and used on
    frames that are like these.
    """

    linear: tuple[int, ...]
    perceptron: tuple[int, ...]
    view_perceptron: tuple[int, ...] | None = None
    trees: tuple[int, ...] | None = None
    plain_trees: tuple[int, ...] | None = None


Member = tuple[Probe, tuple[int, ...]]
"""Probe, with the indices of the maps that it reads."""


@dataclass(frozen=True, eq=False)
class EnsembleProbe:
    """Mean of the logits of several probes, plus an offset. Implements `Probe`.

    `members` are the probes, each with the indices of the maps that it reads. `plain` is a further
    one for frames that are like the annotated ones.
    """

    members: tuple[Member, ...]
    offset: float = 0.0
    plain: Member | None = None

    def logits(
        self, maps: Sequence[Tensor], size: tuple[int, int], plain_weight: float | Tensor = 1.0
    ) -> Tensor:
        """Return logits of shape (B, 1, *size); `plain_weight` is that of `plain`, 0..1."""

        def vote(member: Member) -> Tensor:
            probe, levels = member
            found = probe.logits([maps[i] for i in levels], size)
            return found.clamp(-MEMBER_LIMIT, MEMBER_LIMIT)

        mean = torch.stack(list(map(vote, self.members))).mean(dim=0)
        if self.plain is not None:
            share = plain_weight / (len(self.members) + plain_weight)
            mean = torch.lerp(mean, vote(self.plain), share)
        return mean + self.offset


def fit_linear_probe(
    shots: Sequence[Shot], recipe: ProbeRecipe, *, strength: float = PROBE_STRENGTH
) -> EnsembleProbe:
    """Fit the linear probe of a recipe, which is fast enough for every training step."""
    # Newton's method does not converge in half precision.
    with torch.autocast(shots[0].mask.device.type, enabled=False):
        cells = sample_cells(shots, recipe.linear, TRAINING_CELLS)
        probe = fit_linear(*cells, strength=strength, iterations=5)
    return EnsembleProbe(((probe, recipe.linear),))


def fit_ensemble(
    shots: Sequence[Shot],
    recipe: ProbeRecipe,
    views: Sequence[Shot] = (),
    *,
    effort: float = 1.0,
) -> EnsembleProbe:
    """Fit the perceptrons and trees of a recipe.

    Parameters
    ----------
    shots : sequence of Shot
        References of B classes.
    recipe : ProbeRecipe
    views : sequence of Shot
        Augmented views of the references. One perceptron ignores them, because scale and
        brightness distinguish the class in some stacks.
    effort : float, default 1
        Factor for the numbers of cells, training steps and trees. Less than 1 for a probe that
        serves only to estimate the quality of the final one.
    """
    count, steps = round(effort * PROBE_CELLS), max(10, round(effort * PERCEPTRON_STEPS))

    def perceptron(levels: tuple[int, ...], sources: Sequence[Shot]) -> Probe:
        return fit_perceptron(*sample_cells(sources, levels, count), steps=steps)

    def trees(levels: tuple[int, ...], sources: Sequence[Shot], *, number: int) -> Probe:
        cells = sample_cells(sources, levels, count)
        return fit_trees(*cells, trees=max(1, round(effort * number)))

    viewed = [*shots, *views]
    # Trees that know only a few marks know no range of brightness.
    plain = None if any(shot.incomplete for shot in shots) else recipe.plain_trees
    kinds = (
        (perceptron, recipe.perceptron, shots),
        (perceptron, recipe.view_perceptron, viewed),
        (partial(trees, number=VIEW_TREES if plain else TREES), recipe.trees, viewed),
        (partial(trees, number=PLAIN_TREES), plain, shots),
    )
    fits = [(partial(fit, levels, sources), levels) for fit, levels, sources in kinds if levels]
    calls = [call for call, _ in fits]
    on_cpu = shots[0].mask.device.type == "cpu"
    probes = run_parallel(calls) if on_cpu else [call() for call in calls]
    members = list(zip(probes, (levels for _, levels in fits), strict=True))
    if plain:
        return EnsembleProbe(tuple(members[:-1]), OFFSET, members[-1])
    return EnsembleProbe(tuple(members), OFFSET)


def sample_cells(
    shots: Sequence[Shot], levels: Sequence[int], count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Sample up to `count` cells of the probe's grid, with equal shares for all shots.

    Return features (B, N, D), target (B, N) and weight (B, N) for `fit_linear`. The features are
    those of the maps with the indices `levels`; the weights correct for the sampling.
    """
    parts = [_sample_shot(shot, levels, count // len(shots)) for shot in shots]
    features, target, weight = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
    return features, target, weight


def _sample_shot(shot: Shot, levels: Sequence[int], count: int) -> tuple[Tensor, Tensor, Tensor]:
    foreground, background = pool_labels(shot)
    rows, columns = foreground.shape[-2:]
    foreground, background = foreground.flatten(1), background.flatten(1)
    target = foreground / (foreground + background).clamp_min(1e-6)
    # A few marks represent the whole object: before completion both sides have equal weight.
    lift = background.sum(1, keepdim=True) / foreground.sum(1, keepdim=True).clamp_min(1e-6)
    lift = torch.where(shot.sparse[:, None] & (not shot.completed), lift, torch.ones_like(lift))
    weight = foreground * lift + background
    cells = torch.arange(rows * columns, device=target.device).expand(len(target), -1)
    if rows * columns > count:
        chance, importance = stratify(target, weight)
        generator = torch.Generator().manual_seed(0)
        drawn = torch.multinomial(chance, count, replacement=True, generator=generator)
        # The sample has the weight of the whole frame: a small view counts less than a large one.
        mass = weight.sum(1, keepdim=True) / count
        weight = importance.gather(1, drawn).to(mass) * mass
        cells = drawn.to(target.device)
        target = target.gather(1, cells)
    # Neither features nor positions in half precision, which has three digits.
    maps = [shot.maps[level].float() for level in levels]
    return _features_at(maps, cells, (rows, columns)), target, weight


def _features_at(maps: Sequence[Tensor], cells: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the `cell_features` (B, N, D) of the cells with given indices (B, N)."""
    # Only these cells are interpolated: those of a whole large frame would not fit into memory.
    rows, columns = grid
    x = (2 * (cells % columns) + 1) / columns - 1
    y = (2 * (cells // columns) + 1) / rows - 1
    positions = torch.stack([x, y], dim=-1)[:, :, None].to(maps[0])
    sampled = []
    for m in maps:
        # Clamped to the centres of the border cells, because older versions of PyTorch have no
        # border padding on Metal.
        bound = 1 - 1 / positions.new_tensor([m.shape[-1], m.shape[-2]])
        inside = positions.clamp(-bound, bound)
        sampled.append(F.grid_sample(m, inside, mode="bilinear", align_corners=False))
    return torch.cat(sampled, dim=1)[..., 0].transpose(1, 2)
