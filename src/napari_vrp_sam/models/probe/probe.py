"""The probe: a small classifier from frozen features to 'this class', fitted on the references.

Two kinds, both batched over classes. The linear one is fitted in closed form (iteratively
reweighted least squares), so that it can stand inside every training episode as Gaussian-process
regression does in DGPNet (Johnander et al., ECCV 2022). The perceptron, one hidden layer trained
for about a second, is what users get: it was better on most data sets (see the docs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.probe.perceptron import PerceptronProbe

HIDDEN_DROPOUT = 0.3

PERCEPTRON_STEPS = 200
"""Training steps of a perceptron."""

SPREAD_FLOOR = 1e-3
"""Channels that do not vary on the reference are not blown up to unit variance."""


class Probe(Protocol):
    """A fitted pixel classifier, one for each of B classes."""

    def logits(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Class logits of shape (B, 1, *size).

        Parameters
        ----------
        maps : sequence of Tensor, each of shape (B, C_i, h_i, w_i) or (1, C_i, h_i, w_i)
            Channels in the order of the fit; a single frame is shared by all classes.
        size : tuple of int
            Height and width of the result.
        """
        ...


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """A logistic regression.

    Attributes
    ----------
    weight : Tensor, shape (B, D)
        On raw features: standardisation is folded in.
    bias : Tensor, shape (B,)
    """

    weight: Tensor
    bias: Tensor

    def logits(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """See `Probe`."""
        total = self.bias[:, None, None, None]
        start = 0
        for features in maps:
            part = self.weight[:, start : start + features.shape[1]]
            start += features.shape[1]
            # Projecting before resizing: one channel to interpolate instead of hundreds.
            projected = torch.einsum("bc,bchw->bhw", part, features.expand(len(part), -1, -1, -1))
            total = total + F.interpolate(
                projected[:, None], size, mode="bilinear", align_corners=False
            )
        return total


def gather(maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Features of every cell of a grid: maps resized to `size` and joined, (B, h * w, D)."""
    resized = [
        m if m.shape[-2:] == size else F.interpolate(m, size, mode="bilinear", align_corners=False)
        for m in maps
    ]
    return torch.cat(resized, dim=1).flatten(2).transpose(1, 2)


def stratify(target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Chances to draw cells by, so that a rare class is seen in every batch.

    Parameters
    ----------
    target, weight : Tensor, shape (B, N)
        As for `fit_linear`.

    Returns
    -------
    chance : Tensor, shape (B, N)
        On the CPU; half of it follows the weights, a quarter each goes to class and background.
    importance : Tensor, shape (B, N)
        Weight of a drawn cell that undoes the preference for the rarer side.
    """

    def normalised(mass: Tensor) -> Tensor:
        return mass / mass.sum(dim=1, keepdim=True).clamp_min(1e-12)

    target, share = target.cpu(), normalised(weight.cpu())
    sides = normalised(share * target) + normalised(share * (1 - target))
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
    """Fit a regularised logistic regression for each of B classes.

    Parameters
    ----------
    features : Tensor, shape (B, N, D)
        Pixels of the references.
    target : Tensor, shape (B, N)
        Share of the class in each pixel, 0..1.
    weight : Tensor, shape (B, N)
        Weight of each pixel; 0 leaves it out. Only proportions count.
    strength : float
        Ridge penalty on the standardised coefficients, relative to the mean log-likelihood.
    iterations : int, default 8
        Newton steps; eight reach machine precision at the strengths in use.

    Returns
    -------
    LinearProbe
    """
    weight = weight / weight.sum(dim=1, keepdim=True).clamp_min(1e-12)
    mean = torch.einsum("bn,bnd->bd", weight, features)
    centred = features - mean[:, None]
    spread = torch.einsum("bn,bnd->bd", weight, centred.square()).sqrt() + SPREAD_FLOOR
    x = torch.cat([centred / spread[:, None], torch.ones_like(centred[..., :1])], dim=-1)

    penalty = torch.full((x.shape[-1],), strength, device=x.device)
    # The intercept is free but for what keeps the system solvable.
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
    slope = coefficients[:, :-1] / spread
    return LinearProbe(slope, coefficients[:, -1] - torch.einsum("bd,bd->b", slope, mean))


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
    """Train a perceptron for each of B classes; arguments as for `fit_linear`.

    Parameters
    ----------
    features, target, weight : Tensor, shapes (B, N, D), (B, N) and (B, N)
    hidden : int, default 64
        Width of the hidden layer.
    steps, batch : int
        Steps of AdamW with a one-cycle schedule, and cells a step.
    seed : int, default 0
        Initialisation and batches: the same references give the same probe.
    """
    classes, _, channels = features.shape
    generator = torch.Generator().manual_seed(seed)
    device = features.device

    def draw(*shape: int, bound: float) -> Tensor:
        values = (2 * torch.rand(*shape, generator=generator) - 1) * bound
        return values.to(device).requires_grad_()

    share = weight / weight.sum(dim=1, keepdim=True).clamp_min(1e-12)
    mean = torch.einsum("bn,bnd->bd", share, features)[:, None]
    spread = (
        torch.einsum("bn,bnd->bd", share, (features - mean).square()).sqrt()[:, None] + SPREAD_FLOOR
    )
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
        chance, undo = stratify(target, weight)
        standardised = (features - mean) / spread
        rows = torch.arange(classes, device=device)[:, None]
        for _ in range(steps):
            picks = torch.multinomial(chance, batch, replacement=True, generator=generator)
            importance = undo.gather(1, picks).to(device)
            picks = picks.to(device)
            x = standardised[rows, picks]
            # Few annotated pixels, many channels: without dropout the probe learns them by heart.
            keep = torch.rand(classes, 1, hidden, generator=generator) > HIDDEN_DROPOUT
            activation = F.gelu(torch.baddbmm(parameters[1], x, parameters[0]))
            activation = activation * keep.to(device) / (1 - HIDDEN_DROPOUT)
            logits = torch.baddbmm(parameters[3], activation, parameters[2])[..., 0]
            loss = F.binary_cross_entropy_with_logits(
                logits, target.gather(1, picks), weight=importance, reduction="none"
            )
            optimiser.zero_grad()
            # Summed over classes: they share nothing, so none may dilute the others' gradient.
            torch.autograd.backward(loss.mean(dim=1).sum())
            optimiser.step()
            schedule.step()
    first_weight, first_bias, second_weight, second_bias = (p.detach() for p in parameters)
    return PerceptronProbe(mean, spread, first_weight, first_bias, second_weight, second_bias)
