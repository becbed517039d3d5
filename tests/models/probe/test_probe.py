"""Linear probe and perceptron, compared with scikit-learn and with direct evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from napari_vrp_sam.models.probe.perceptron import PerceptronProbe
from napari_vrp_sam.models.probe.probe import (
    SPREAD_FLOOR,
    LinearProbe,
    cell_features,
    fit_linear,
    fit_perceptron,
    stratify,
)


def pixels(classes: int = 2, count: int = 400, channels: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Features of very different scales, soft targets that depend on them, random weights."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.logspace(-1, 1, channels)
    features = torch.randn(classes, count, channels, generator=generator) * scales + 3 * scales
    slope = torch.randn(classes, channels, generator=generator) / scales
    logits = torch.einsum("bnc,bc->bn", features - 3 * scales, slope)
    noise = torch.randn(classes, count, generator=generator)
    return features, (logits + noise).sigmoid(), torch.rand(classes, count, generator=generator)


def exclusive_or(side: int = 48) -> tuple[list[Tensor], Tensor]:
    """Maps of two channels, and the class: cells in which their signs differ."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(1, 2, side, side, generator=generator) * 2 - 1
    return [maps[:, :1], maps[:, 1:]], (maps[:, 0] * maps[:, 1] < 0).float()


def accuracy(logits: Tensor, ground_truth: Tensor) -> float:
    return float(((logits[:, 0] > 0) == (ground_truth > 0.5)).float().mean())


@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_linear_probe_equals_scikit_learn(strength: float) -> None:
    features, target, weight = pixels()
    probe = fit_linear(features, target, weight, strength=strength)
    for b in range(len(features)):
        x, t, w = (v[b].double().numpy() for v in (features, target, weight))
        w = w / w.sum()
        mean = w @ x
        spread = np.sqrt(w @ (x - mean) ** 2) + SPREAD_FLOOR
        # A fractional target is a pixel of the class and one of the background, weighted.
        theirs = LogisticRegression(C=1 / strength, tol=1e-8, max_iter=1000).fit(
            np.tile((x - mean) / spread, (2, 1)),
            np.repeat([1, 0], len(x)),
            np.concatenate([w * t, w * (1 - t)]),
        )
        slope = theirs.coef_[0] / spread
        np.testing.assert_allclose(probe.weight[b], slope, rtol=2e-3, atol=1e-4)
        np.testing.assert_allclose(probe.bias[b], theirs.intercept_ - slope @ mean, rtol=2e-3)


def test_separable_classes_stay_finite() -> None:
    features = torch.cat([torch.zeros(1, 50, 3), torch.ones(1, 50, 3)], dim=1)
    features[..., 2] = 5.0  # a channel that does not vary
    target = (torch.arange(100) >= 50).float()[None]
    probe = fit_linear(features, target, torch.ones(1, 100), strength=1e-5)
    logits = features[0] @ probe.weight[0] + probe.bias[0]
    assert torch.isfinite(probe.weight).all()
    torch.testing.assert_close((logits > 0).float(), target[0])


def test_weights_are_relative_and_zero_excludes_a_cell() -> None:
    features, target, weight = pixels()
    wrong = torch.cat([features, -100 * features], dim=1)
    opposite = torch.cat([target, 1 - target], dim=1)
    zeroed = torch.cat([7 * weight, torch.zeros_like(weight)], dim=1)

    linear = fit_linear(features, target, weight, strength=0.01)
    same = fit_linear(wrong, opposite, zeroed, strength=0.01)
    torch.testing.assert_close(linear.weight, same.weight, rtol=1e-3, atol=1e-4)

    perceptron = fit_perceptron(features, target, weight, steps=10, batch=64)
    same = fit_perceptron(wrong, opposite, zeroed, steps=10, batch=64)
    torch.testing.assert_close(perceptron.hidden, same.hidden, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(perceptron.output, same.output, rtol=1e-3, atol=1e-4)


def test_projecting_before_resizing_does_not_change_the_logits() -> None:
    torch.manual_seed(0)
    maps = [torch.randn(1, 3, 12, 20), torch.randn(1, 5, 6, 10)]
    probe = LinearProbe(torch.randn(2, 8), torch.randn(2))
    expected = torch.einsum("bnd,kd->kn", cell_features(maps, (24, 40)), probe.weight)
    expected = expected + probe.bias[:, None]
    torch.testing.assert_close(probe.logits(maps, (24, 40)), expected.reshape(2, 1, 24, 40))


@pytest.mark.parametrize("frames", [1, 2])
def test_perceptron_logits_equal_the_direct_formula(frames: int) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    maps = [draw(frames, 3, 12, 20), draw(frames, 5, 6, 10), draw(frames, 4, 12, 20)]
    maps.append(draw(frames, 2, 2, 3))
    probe = PerceptronProbe(
        mean=3 * draw(2, 1, 14),
        spread=0.2 + draw(2, 1, 14).abs(),
        hidden=draw(2, 14, 8) / 4,
        hidden_bias=draw(2, 1, 8),
        output=draw(2, 8, 1),
        output_bias=draw(2, 1, 1),
    )
    x = (cell_features(maps, (12, 20)) - probe.mean) / probe.spread
    logits = F.gelu(x @ probe.hidden + probe.hidden_bias) @ probe.output + probe.output_bias
    on_grid = logits.transpose(1, 2).reshape(2, 1, 12, 20)
    torch.testing.assert_close(probe.logits(maps, (12, 20)), on_grid, rtol=1e-4, atol=1e-3)
    full = F.interpolate(on_grid, (48, 80), mode="bilinear")
    torch.testing.assert_close(probe.logits(maps, (48, 80)), full, rtol=1e-4, atol=1e-3)


def test_perceptron_separates_classes_that_are_not_linearly_separable() -> None:
    maps, ground_truth = exclusive_or()
    size = (ground_truth.shape[1], ground_truth.shape[2])
    data = cell_features(maps, size), ground_truth.flatten(1), torch.ones(1, ground_truth.numel())
    line = fit_linear(*data, strength=0.01)
    perceptron = fit_perceptron(*data)
    assert accuracy(line.logits(maps, size), ground_truth) < 0.6
    assert accuracy(perceptron.logits(maps, size), ground_truth) > 0.95


def test_perceptron_is_reproducible_and_keeps_the_random_state() -> None:
    data = pixels(count=100)
    before = torch.get_rng_state()
    with torch.no_grad():
        first, again, other = (
            fit_perceptron(*data, steps=5, batch=32, seed=seed) for seed in (0, 0, 1)
        )
    torch.testing.assert_close(first.output, again.output, rtol=0, atol=0)
    assert not torch.equal(first.output, other.output)
    assert not first.output.requires_grad
    assert torch.equal(before, torch.get_rng_state())


def test_a_frame_is_shared_by_all_classes() -> None:
    maps, ground_truth = exclusive_or(side=16)
    x = cell_features(maps, (16, 16)).expand(2, -1, -1)
    y = torch.cat([ground_truth, 1 - ground_truth]).flatten(1)
    probe = fit_perceptron(x, y, torch.ones_like(y), steps=20)
    logits = probe.logits(maps, (32, 32))
    assert logits.shape == (2, 1, 32, 32)
    pairs = [m.expand(2, -1, -1, -1) for m in maps]
    torch.testing.assert_close(logits, probe.logits(pairs, (32, 32)))


def test_stratified_sampling_includes_the_rare_class_and_is_unbiased() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.zeros(2, 1000)
    target[0, :5], target[1, :600] = 1, 0.3
    weight = torch.rand(2, 1000, generator=generator)
    weight[:, 990:] = 0
    values = torch.randn(2, 1000, generator=generator) + 3 * target
    chance, importance = stratify(target, weight)

    share = weight / weight.sum(1, keepdim=True)
    assert chance[0, :5].sum() >= 0.25
    assert chance[:, 990:].max() == 0
    torch.testing.assert_close(chance.sum(1), torch.ones(2))
    # Expectation of the weighted mean of a sample.
    torch.testing.assert_close((chance * importance * values).sum(1), (share * values).sum(1))


def test_stratify_accepts_a_class_that_is_everywhere() -> None:
    chance, importance = stratify(torch.ones(1, 10), torch.ones(1, 10))
    assert torch.isfinite(importance).all()
    assert len(importance.unique()) == 1
    assert (chance > 0).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_classes_fitted_together_equal_classes_fitted_alone(threads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    # With as many channels as `lite` has, batched LU factors can be wrong on two threads.
    features = torch.randn(4, 2048, 207, generator=generator)
    noise = torch.randn(4, 2048, generator=generator)
    target = (features[..., :5].sum(-1) + noise > 0).float()
    weight = torch.ones(4, 2048)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        together = fit_linear(features, target, weight, strength=0.01)
        alone = [
            fit_linear(*(v[b : b + 1] for v in (features, target, weight)), strength=0.01)
            for b in range(4)
        ]
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(
        together.weight, torch.cat([p.weight for p in alone]), rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(
        together.bias, torch.cat([p.bias for p in alone]), rtol=1e-3, atol=1e-4
    )
