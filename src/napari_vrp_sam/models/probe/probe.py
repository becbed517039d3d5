"""Interface of the probes, and the fitting of linear probes and perceptrons.

A probe is a small pixel classifier on frozen features, fitted to the references of a class; all are
batched over classes. The linear probe is fitted in closed form (iteratively reweighted least
squares) and differentiable, so that every training episode can contain one, as DGPNet (Johnander
et al., ECCV 2022) contains a Gaussian process regression. The perceptron is trained for about a
second. It is better on most datasets, and used for inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.interruption import check_interrupted
from napari_vrp_sam.models.probe.perceptron import PerceptronProbe

HIDDEN_DROPOUT = 0.3

PERCEPTRON_STEPS = 200
"""Training steps of a perceptron."""

SPREAD_FLOOR = 1e-3
"""Value added to standard deviations, so that constant channels are not amplified."""


class Probe(Protocol):
    """Pixel classifiers of B classes."""

    def logits(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Return logits of shape (B, 1, *size).

        Parameters
        ----------
        maps : sequence of Tensor, each of shape (B, C_i, h_i, w_i) or (1, C_i, h_i, w_i)
            Feature maps in the order of the fit; a single frame is shared by all classes.
        size : tuple of int
            Height and width of the result.
        """
        ...


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """Logistic regression for each of B classes: weight (B, D) and bias (B,) of raw features."""

    weight: Tensor
    bias: Tensor

    def logits(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Return logits of shape (B, 1, *size)."""
        total = self.bias[:, None, None, None]
        parts = torch.split(self.weight, [m.shape[1] for m in maps], dim=1)
        for features, part in zip(maps, parts, strict=True):
            # Projected before resizing: one channel to interpolate instead of hundreds.
            projected = torch.einsum("bc,bchw->bhw", part, features.expand(len(part), -1, -1, -1))
            total = total + F.interpolate(
                projected[:, None], size, mode="bilinear", align_corners=False
            )
        return total


def cell_features(maps: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
    """Resize maps to one grid and concatenate them: features of shape (B, h * w, D)."""
    resized = [
        m if m.shape[-2:] == grid else F.interpolate(m, grid, mode="bilinear", align_corners=False)
        for m in maps
    ]
    return torch.cat(resized, dim=1).flatten(2).transpose(1, 2)


def stratify(target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return sampling probabilities of cells, and weights that make the sample unbiased.

    Target and weight (B, N) are arguments of `fit_linear`, the results are on the CPU. Half of the
    draws follow the weights; class and background have a quarter each, so that every batch includes
    a rare class.
    """
    target, share = target.cpu(), _normalise(weight.cpu())
    sides = _normalise(share * target) + _normalise(share * (1 - target))
    chance = 0.5 * share + 0.25 * sides
    return chance, share / chance.clamp_min(1e-12)


def fit_linear(
    features: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    strength: float,
    iterations: int = 8,
) -> LinearProbe:
    """Fit a ridge-penalised logistic regression for each of B classes.

    Parameters
    ----------
    features : Tensor, shape (B, N, D)
        Features of the cells.
    target : Tensor, shape (B, N)
        Fraction of the class in each cell, 0..1.
    weight : Tensor, shape (B, N)
        Relative weight of each cell; 0 excludes it.
    strength : float
        Ridge penalty on the standardised coefficients, relative to the mean log-likelihood.
    iterations : int, default 8
        Newton steps; eight reach machine precision with the penalties in use.
    """
    weight, mean, spread, standardised = _standardise(features, weight)
    x = torch.cat([standardised, torch.ones_like(standardised[..., :1])], dim=-1)
    penalty = torch.full((x.shape[-1],), strength, device=x.device)
    # The intercept is penalised only as far as the system has to remain solvable.
    penalty[-1] = 1e-6
    prior = torch.einsum("bn,bn->b", weight, target).clamp(1e-4, 1 - 1e-4)
    coefficients = torch.zeros(x.shape[0], x.shape[-1], device=x.device)
    coefficients[:, -1] = torch.logit(prior)
    for _ in range(iterations):
        logits = torch.einsum("bnd,bd->bn", x, coefficients)
        probability = logits.sigmoid()
        gradient = torch.einsum("bnd,bn->bd", x, weight * (probability - target))
        gradient = gradient + penalty * coefficients
        curvature = weight * (probability * (1 - probability)).clamp_min(1e-4)
        hessian = (x * curvature[..., None]).transpose(1, 2) @ x + torch.diag(penalty)
        # The penalty makes the matrix positive definite. Batched LU factors are wrong, or never
        # finish, in some CPU builds of PyTorch; Cholesky factors are right there, and faster.
        factor = torch.linalg.cholesky_ex(hessian).L
        step = torch.cholesky_solve(gradient[..., None], factor)[..., 0]
        # Full Newton steps can overshoot on separable data; a bounded step cannot.
        scale = (8.0 / step.abs().amax(dim=1, keepdim=True).clamp_min(8.0)).clamp_max(1.0)
        coefficients = coefficients - scale * step
    slope = coefficients[:, :-1] / spread[:, 0]
    return LinearProbe(slope, coefficients[:, -1] - torch.einsum("bd,bd->b", slope, mean[:, 0]))


def fit_perceptron(
    features: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    hidden: int = 64,
    steps: int = PERCEPTRON_STEPS,
    batch: int = 2048,
    seed: int = 0,
) -> PerceptronProbe:
    """Train a perceptron for each of B classes.

    Parameters
    ----------
    features, target, weight : Tensor, shapes (B, N, D), (B, N) and (B, N)
        See `fit_linear`.
    hidden : int, default 64
        Width of the hidden layer.
    steps, batch : int
        Training steps with AdamW and a one-cycle schedule, and cells per step.
    seed : int, default 0
        Seed of initialisation and batches; the same references give the same probe.
    """
    classes, _, channels = features.shape
    generator = torch.Generator().manual_seed(seed)
    device = features.device

    def draw(*shape: int, bound: float) -> Tensor:
        values = (2 * torch.rand(*shape, generator=generator) - 1) * bound
        return values.to(device).requires_grad_()

    _, mean, spread, standardised = _standardise(features, weight)
    first, second = channels**-0.5, hidden**-0.5
    parameters = [
        draw(classes, channels, hidden, bound=first),
        draw(classes, 1, hidden, bound=first),
        draw(classes, hidden, 1, bound=second),
        draw(classes, 1, 1, bound=second),
    ]
    with torch.enable_grad():
        optimiser = torch.optim.AdamW(parameters, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps)
        chance, importance = stratify(target, weight)
        flat = standardised.flatten(0, 1)
        starts = torch.arange(0, len(flat), standardised.shape[1], device=device)[:, None]
        for _ in range(steps):
            check_interrupted()
            drawn = torch.multinomial(chance, batch, replacement=True, generator=generator)
            drawn_weight = importance.gather(1, drawn).to(device)
            drawn = drawn.to(device)
            # With few annotated pixels and many channels the probe overfits without dropout.
            keep = torch.rand(classes, 1, hidden, generator=generator) > HIDDEN_DROPOUT
            # Four times as fast as indexing with rows and columns.
            cells = flat.index_select(0, (drawn + starts).flatten()).view(*drawn.shape, -1)
            activation = torch.baddbmm(parameters[1], cells, parameters[0])
            activation = F.gelu(activation) * keep.to(device) / (1 - HIDDEN_DROPOUT)
            logits = torch.baddbmm(parameters[3], activation, parameters[2])[..., 0]
            loss = F.binary_cross_entropy_with_logits(
                logits, target.gather(1, drawn), weight=drawn_weight, reduction="none"
            )
            optimiser.zero_grad()
            # Summed over classes: they share no parameters, so none may dilute another's gradient.
            torch.autograd.backward(loss.mean(dim=1).sum())
            optimiser.step()
            schedule.step()
    return PerceptronProbe(mean, spread, *(p.detach() for p in parameters))


def _normalise(weight: Tensor) -> Tensor:
    return weight / weight.sum(dim=1, keepdim=True).clamp_min(1e-12)


def _standardise(features: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return normalised weights, mean and spread (B, 1, D), and standardised features."""
    weight = _normalise(weight)
    mean = torch.einsum("bn,bnd->bd", weight, features)[:, None]
    centred = features - mean
    spread = torch.einsum("bn,bnd->bd", weight, centred.square()).sqrt()[:, None] + SPREAD_FLOOR
    return weight, mean, spread, centred / spread
