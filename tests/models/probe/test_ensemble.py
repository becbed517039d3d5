"""Sampling of cells, the maps that members read, and the mean of their logits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.probe import ensemble as module
from napari_vrp_sam.models.probe.encoded_shots import Shot, make_shot
from napari_vrp_sam.models.probe.ensemble import (
    MEMBER_LIMIT,
    OFFSET,
    EnsembleProbe,
    ProbeRecipe,
    fit_ensemble,
    fit_linear_probe,
    sample_cells,
)
from napari_vrp_sam.models.probe.perceptron import PerceptronProbe
from napari_vrp_sam.models.probe.probe import LinearProbe, cell_features
from napari_vrp_sam.models.probe.trees import TreesProbe

CHANNELS = (3, 4, 2)


def shot_with_maps(
    masks: Tensor, maps: tuple[Tensor, ...] | None = None, kind: str = "mask", seed: int = 0
) -> Shot:
    """Masks (B, H, W) on frames with maps of strides 2, 4 and 16. Default: random maps."""
    count, *size = masks.shape
    height, width = size
    if maps is None:
        generator = torch.Generator().manual_seed(seed)
        rows, columns = (side + -side % 16 for side in size)
        maps = tuple(
            torch.randn(count, channels, rows // stride, columns // stride, generator=generator)
            for channels, stride in zip(CHANNELS, (2, 4, 16), strict=True)
        )
    features = FrameFeatures((height, width), torch.zeros(count, 1, 2, 2), maps)
    return make_shot(features, maps, masks, [kind] * count)


def squares(count: int, height: int, width: int, side: int = 13) -> Tensor:
    masks = torch.zeros(count, height, width)
    for number in range(count):
        start = 4 + 8 * number
        masks[number, start : start + side, start : start + side] = 1
    return masks


def cells_of(layer: Tensor) -> Tensor:
    return F.avg_pool2d(layer, 2).flatten(1)


@pytest.mark.parametrize("levels", [(0, 1, 2), (0, 2), (1,)])
def test_without_sampling_all_cells_of_the_grid_are_taken(levels: tuple[int, ...]) -> None:
    shot = shot_with_maps(squares(2, 50, 70))
    x, y, w = sample_cells([shot], levels, 32 * 40)
    expected = cell_features([shot.maps[level] for level in levels], (32, 40))
    torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-5)
    foreground, background = cells_of(shot.foreground), cells_of(shot.background)
    torch.testing.assert_close(w, foreground + background)
    torch.testing.assert_close(w * y, foreground)
    padding = F.pad(torch.zeros(2, 50, 70), (0, 10, 0, 14), value=1.0)
    assert w[cells_of(padding) == 1].max() == 0
    assert 0 < y[0].mean() < y[0].max() == 1


def test_a_sample_represents_all_cells_except_padding() -> None:
    masks = squares(2, 180, 150, side=16)
    masks[1, :90] = 1
    shot = shot_with_maps(masks)
    values = shot.maps[0].clone()
    values[:, 0] += 2 * F.avg_pool2d(shot.foreground, 2)
    values[:, 2] = 0
    values[:, 2, 90:], values[:, 2, :, 75:] = 1, 1  # marks the padding
    shot = shot_with_maps(masks, (values, *shot.maps[1:]))
    x, y, w = sample_cells([shot], (0, 1), 4096)

    assert x.shape == (2, 4096, CHANNELS[0] + CHANNELS[1])
    assert y.shape == w.shape == (2, 4096)
    assert x[..., 2].max() < 1e-3
    assert w.min() > 0
    everything = cell_features(shot.maps[:2], (96, 80))
    weight = cells_of(shot.foreground + shot.background)
    torch.testing.assert_close(w.sum(1), weight.sum(1), rtol=0.05, atol=0)
    whole = torch.einsum("bn,bnd->bd", weight / weight.sum(1, keepdim=True), everything)
    drawn = torch.einsum("bn,bnd->bd", w / w.sum(1, keepdim=True), x)
    torch.testing.assert_close(drawn, whole, rtol=0, atol=0.08)
    rate = (w * y).sum(1) / w.sum(1)
    torch.testing.assert_close(
        rate, cells_of(shot.foreground).sum(1) / weight.sum(1), rtol=0.1, atol=0
    )
    assert y[0].mean() > 0.2 > 10 * rate[0]  # a rare class is drawn far more often than it occurs


def test_sampled_features_and_labels_belong_to_the_same_cell() -> None:
    masks = squares(2, 64, 96, side=30)
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    finest = torch.stack([rows, columns])[None].repeat(2, 1, 1, 1)
    # Interpolating the coarse map of a ramp gives the ramp again, except at the border.
    coarse = F.avg_pool2d(finest, 4)
    x, y, _ = sample_cells([shot_with_maps(masks, (finest, coarse))], (0, 1), 500)
    places = x[..., :2].round()
    torch.testing.assert_close(x[..., :2], places, rtol=0, atol=1e-3)
    ground_truth = F.avg_pool2d(masks, 2)
    for b in range(2):
        i, j = places[b].long().unbind(-1)
        torch.testing.assert_close(y[b], ground_truth[b, i, j])
        inner = (i >= 2) & (i < 30) & (j >= 2) & (j < 46)
        torch.testing.assert_close(x[b, inner, 2:], places[b, inner], rtol=0, atol=1e-3)
        expected = cell_features([coarse], (32, 48))[b, 48 * i + j]
        torch.testing.assert_close(x[b, :, 2:], expected, rtol=0, atol=1e-3)


def test_references_have_equal_numbers_of_cells_and_weights_by_area() -> None:
    large, small = shot_with_maps(squares(1, 128, 160)), shot_with_maps(squares(1, 48, 64), seed=1)
    x, y, w = sample_cells([large, small], (0, 1, 2), 1200)
    assert x.shape == (1, 1200, sum(CHANNELS))
    total = w[:, :600].sum() / w[:, 600:].sum()
    torch.testing.assert_close(total, torch.tensor(128 * 160 / (48 * 64)), rtol=0.15, atol=0)
    first, *_ = sample_cells([large], (0, 1, 2), 600)
    torch.testing.assert_close(x[:, :600], first)
    # A frame with fewer cells than its share contributes all of them.
    x, y, w = sample_cells([large, small], (0,), 2000)
    assert x.shape[1] == y.shape[1] == w.shape[1] == 1000 + 24 * 32


def test_the_same_shots_give_the_same_cells() -> None:
    shot = shot_with_maps(squares(2, 64, 64))
    state = torch.get_rng_state()
    first, again = (sample_cells([shot], (0, 2), 300) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("count", [1000, 5000])
def test_sparse_marks_have_half_of_the_weight_until_completed(count: int) -> None:
    shot = shot_with_maps(squares(2, 64, 64, side=6), kind="point")

    def share(shot: Shot) -> Tensor:
        _, y, w = sample_cells([shot], (0,), count)
        return (w * y).sum(1) / w.sum(1)

    tolerance = 0.1 if count == 1000 else 1e-4
    torch.testing.assert_close(share(shot), torch.full((2,), 0.5), rtol=tolerance, atol=0)
    completed = replace(shot, completed=True)
    rate = torch.full((2,), 36 / 64**2)
    torch.testing.assert_close(share(completed), rate, rtol=2 * tolerance, atol=0)
    as_mask = shot_with_maps(squares(2, 64, 64, side=6))
    torch.testing.assert_close(share(as_mask), rate, rtol=2 * tolerance, atol=0)


def test_an_ensemble_is_the_mean_of_its_clipped_members() -> None:
    maps = shot_with_maps(squares(1, 32, 32)).maps
    constant = LinearProbe(torch.zeros(2, 3), torch.tensor([100.0, -2.0]))
    other = LinearProbe(torch.zeros(2, 6), torch.tensor([1.0, -500.0]))
    ensemble = EnsembleProbe(((constant, (0,)), (other, (1, 2))), offset=0.25)
    logits = ensemble.logits(maps, (9, 11))
    assert logits.shape == (2, 1, 9, 11)
    assert MEMBER_LIMIT == 8
    torch.testing.assert_close(logits[0], torch.full((1, 9, 11), (8 + 1) / 2 + 0.25))
    torch.testing.assert_close(logits[1], torch.full((1, 9, 11), (-2 - 8) / 2 + 0.25))


def test_each_member_reads_its_maps_in_order() -> None:
    maps = shot_with_maps(squares(1, 32, 32)).maps
    generator = torch.Generator().manual_seed(3)
    first, second = (
        LinearProbe(torch.randn(1, channels, generator=generator) / 4, torch.zeros(1))
        for channels in (CHANNELS[0] + CHANNELS[2], CHANNELS[1])
    )
    joined = EnsembleProbe(((first, (0, 2)), (second, (1,)))).logits(maps, (16, 16))
    alone = first.logits([maps[0], maps[2]], (16, 16)), second.logits([maps[1]], (16, 16))
    assert max(float(votes.abs().max()) for votes in alone) < MEMBER_LIMIT
    torch.testing.assert_close(joined, (alone[0] + alone[1]) / 2)


def test_the_linear_probe_reads_only_its_maps() -> None:
    recipe = ProbeRecipe(linear=(0, 2), perceptron=(1,))
    masks = squares(1, 64, 64, side=30)
    shot = shot_with_maps(masks)
    blind = shot_with_maps(
        masks, (shot.maps[0], torch.full_like(shot.maps[1], torch.nan), shot.maps[2])
    )
    probe, same = fit_linear_probe([shot], recipe), fit_linear_probe([blind], recipe)
    assert [levels for _, levels in probe.members] == [(0, 2)]
    logits = probe.logits(shot.maps, (32, 32))
    torch.testing.assert_close(same.logits(blind.maps, (32, 32)), logits)
    assert probe.offset == 0
    other = fit_linear_probe([shot], replace(recipe, linear=(0, 1, 2)))
    assert (other.logits(shot.maps, (32, 32)) - logits).abs().max() > 0.1
    # A stronger penalty shrinks the logits.
    strong = fit_linear_probe([shot], recipe, strength=10.0)
    assert strong.logits(shot.maps, (32, 32)).std() < 0.5 * logits.std()


def test_training_in_half_precision_fits_the_linear_probe_in_single_precision() -> None:
    recipe = ProbeRecipe(linear=(0, 1, 2), perceptron=())
    masks = squares(1, 64, 64, side=30)
    maps = tuple(m.bfloat16() for m in shot_with_maps(masks).maps)
    half, single = (shot_with_maps(masks, m) for m in (maps, tuple(m.float() for m in maps)))
    with torch.autocast("cpu", torch.bfloat16):
        probe = fit_linear_probe([half], recipe)
    logits = fit_linear_probe([single], recipe).logits(single.maps, (32, 32))
    assert torch.equal(probe.logits(single.maps, (32, 32)), logits)


def test_an_ensemble_has_the_members_of_its_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_CELLS", 1600)  # 400 at the effort of the test
    masks = squares(2, 48, 48, side=20)
    shot = shot_with_maps(masks)
    finest = shot.maps[0] + 3 * F.avg_pool2d(shot.mask, 2)[:, None]
    shot = shot_with_maps(masks, (finest, *shot.maps[1:]))
    recipe = ProbeRecipe(linear=(0,), perceptron=(0, 1))
    probe = fit_ensemble([shot], recipe, effort=0.25)
    assert [(type(p), levels) for p, levels in probe.members] == [(PerceptronProbe, (0, 1))]
    assert probe.offset == OFFSET
    found = probe.logits(shot.maps, (48, 48))[:, 0] > OFFSET
    assert (found == (masks > 0.5)).float().mean() > 0.9

    probe = fit_ensemble([shot], replace(recipe, view_perceptron=(0, 2), trees=(0, 1)), effort=0.25)
    assert [(type(p), levels) for p, levels in probe.members] == [
        (PerceptronProbe, (0, 1)),
        (PerceptronProbe, (0, 2)),
        (TreesProbe, (0, 1)),
    ]
    for member, levels in probe.members:
        found = member.logits([shot.maps[level] for level in levels], (48, 48))[:, 0] > 0
        assert (found == (masks > 0.5)).float().mean() > 0.9


def test_one_perceptron_ignores_the_views(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_CELLS", 1600)  # 400 at the effort of the test
    mask = squares(1, 48, 48, side=20)
    shot = shot_with_maps(mask)
    bright = shot_with_maps(mask, tuple(level + 5 for level in shot.maps))
    recipe = ProbeRecipe(linear=(0,), perceptron=(0, 1), view_perceptron=(0, 1), trees=(0, 1))
    alone, viewed = (fit_ensemble([shot], recipe, views, effort=0.25) for views in ((), (bright,)))
    same = [
        torch.equal(a.logits(shot.maps[:2], (24, 24)), b.logits(shot.maps[:2], (24, 24)))
        for (a, _), (b, _) in zip(alone.members, viewed.members, strict=True)
    ]
    assert same == [True, False, False]
