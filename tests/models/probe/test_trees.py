"""Trees on classes that thresholds separate, on degenerate samples, and their reproducibility."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_vrp_sam.models.probe import trees as module
from napari_vrp_sam.models.probe.probe import cell_features, fit_linear
from napari_vrp_sam.models.probe.trees import MIN_PROBABILITY, fit_trees

LIMIT = float(torch.tensor(1 - MIN_PROBABILITY).logit())


def frame(side: int = 40, seed: int = 0) -> tuple[list[Tensor], Tensor]:
    """Two maps of noise, and the class: cells with medium values of the first channel."""
    generator = torch.Generator().manual_seed(seed)
    fine = torch.rand(1, 2, side, side, generator=generator)
    coarse = torch.rand(1, 1, side // 2, side // 2, generator=generator)
    return [fine, coarse], ((fine[:, 0] > 0.35) & (fine[:, 0] < 0.65)).float()


def cells(maps: list[Tensor], ground_truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    size = (ground_truth.shape[1], ground_truth.shape[2])
    return (
        cell_features(maps, size),
        ground_truth.flatten(1),
        torch.ones(1, ground_truth[0].numel()),
    )


def accuracy(logits: Tensor, ground_truth: Tensor) -> float:
    return float(((logits[:, 0] > 0) == (ground_truth > 0.5)).float().mean())


def test_trees_separate_a_class_that_needs_two_thresholds() -> None:
    maps, ground_truth = frame()
    probe = fit_trees(*cells(maps, ground_truth))
    line = fit_linear(*cells(maps, ground_truth), strength=0.01)
    others, expected = frame(seed=1)
    logits = probe.logits(others, (40, 40))
    assert accuracy(line.logits(others, (40, 40)), expected) < 0.75
    assert accuracy(logits, expected) > 0.94
    assert logits.abs().max() <= LIMIT + 1e-5


def test_logits_are_resized_from_the_finest_grid() -> None:
    maps, ground_truth = frame()
    probe = fit_trees(*cells(maps, ground_truth))
    on_grid = probe.logits(maps, (40, 40))
    resized = torch.nn.functional.interpolate(on_grid, (20, 60), mode="bilinear")
    torch.testing.assert_close(probe.logits(maps, (20, 60)), resized)


def test_samples_of_a_single_label() -> None:
    maps, ground_truth = frame(side=16)
    x, y, w = cells(maps, ground_truth)
    for value in (0.0, 1.0):
        logits = fit_trees(x, torch.full_like(y, value), w).logits(maps, (16, 16))
        expected = LIMIT if value else -LIMIT
        torch.testing.assert_close(logits, torch.full((1, 1, 16, 16), expected))


def test_weights_count_and_zero_excludes_a_cell() -> None:
    maps, ground_truth = frame(side=24)
    x, y, w = cells(maps, ground_truth)
    left_out = torch.arange(x.shape[1]) % 2 == 0
    wrong = torch.where(left_out, 1 - y, y)
    zeroed = torch.where(left_out, 0.0, w)
    probe = fit_trees(x, wrong, zeroed)
    garbage = torch.where(left_out[None, :, None], 1e6, x)
    same = fit_trees(garbage, y, zeroed)
    torch.testing.assert_close(probe.logits(maps, (24, 24)), same.logits(maps, (24, 24)))
    assert accuracy(probe.logits(maps, (24, 24)), ground_truth) > 0.9

    # Equal cells with different labels: the label of larger weight wins.
    same_cells, labels = torch.zeros(1, 200, 3), (torch.arange(200) % 2).float()[None]
    zeros = [torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4)]
    for heavy in (0, 1):
        weight = torch.where(labels == heavy, 3.0, 1.0)
        logits = fit_trees(same_cells, labels, weight).logits(zeros, (4, 4))
        odds = torch.tensor(3.0 if heavy else 1 / 3).log()
        torch.testing.assert_close(logits.mean(), odds, rtol=0, atol=0.3)


def test_each_class_has_its_own_trees_and_a_frame_may_be_shared() -> None:
    maps, ground_truth = frame(side=24)
    x, y, w = cells(maps, ground_truth)
    probe = fit_trees(x.expand(2, -1, -1), torch.cat([y, 1 - y]), w.expand(2, -1))
    logits = probe.logits(maps, (24, 24))
    assert logits.shape == (2, 1, 24, 24)
    assert accuracy(logits[:1], ground_truth) > 0.95
    assert accuracy(logits[1:], 1 - ground_truth) > 0.95
    pairs = [m.expand(2, -1, -1, -1) for m in maps]
    torch.testing.assert_close(probe.logits(pairs, (24, 24)), logits)
    # Each class on its own frame.
    other, _ = frame(side=24, seed=1)
    both = probe.logits([torch.cat(pair) for pair in zip(maps, other, strict=True)], (24, 24))
    torch.testing.assert_close(both[:1], logits[:1])
    torch.testing.assert_close(both[1:], probe.logits(other, (24, 24))[1:])


def test_trees_are_reproducible_and_keep_the_random_states() -> None:
    maps, ground_truth = frame(side=24)
    data = cells(maps, ground_truth)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    first, again, other = (fit_trees(*data, seed=seed).logits(maps, (24, 24)) for seed in (0, 0, 1))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)
    assert torch.equal(torch_state, torch.get_rng_state())
    for before, after in zip(numpy_state, np.random.get_state(), strict=True):  # noqa: NPY002
        np.testing.assert_array_equal(before, after)


def test_large_samples_are_subsampled_randomly() -> None:
    """The class is at the end, where truncation would remove it."""
    count = module.MAX_CELLS + 4000
    x = torch.rand(1, count, 1, generator=torch.Generator().manual_seed(0))
    y = (torch.arange(count) >= module.MAX_CELLS).float()[None]
    x = x + y[..., None]
    probe = fit_trees(x, y, torch.ones_like(y))
    logits = probe.logits([torch.tensor([0.5, 1.5]).reshape(1, 1, 1, 2)], (1, 2))
    assert logits[0, 0, 0, 0] < -3 < 3 < logits[0, 0, 0, 1]
    samples = [tree.tree_.n_node_samples[0] for tree in probe.forests[0].estimators_]
    assert max(samples) <= module.MAX_CELLS


@pytest.mark.parametrize("threads", [1, 3])
def test_probabilities_equal_those_of_scikit_learn_for_any_number_of_threads(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps, ground_truth = frame(side=24)
    probe = fit_trees(*cells(maps, ground_truth))
    others, _ = frame(side=24, seed=1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    theirs = probe.forests[0].predict_proba(cell_features(others, (24, 24))[0].numpy())[:, 1]
    expected = (
        torch.from_numpy(theirs.astype(np.float32))
        .clamp(MIN_PROBABILITY, 1 - MIN_PROBABILITY)
        .logit()
    )
    found = probe.logits(others, (24, 24)).flatten()
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    # Fewer cells than threads.
    few = [m[..., :1, :1] for m in others]
    assert probe.logits(few, (1, 1)).shape == (1, 1, 1, 1)
