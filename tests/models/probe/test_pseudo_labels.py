"""Completion of annotations on toy frames, whose maps are the pooled frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.probe.classical_features import intensities
from napari_vrp_sam.models.probe.encoded_shots import Shot, make_shot
from napari_vrp_sam.models.probe.ensemble import (
    EnsembleProbe,
    ProbeRecipe,
    fit_ensemble,
    fit_linear_probe,
)
from napari_vrp_sam.models.probe.probe import LinearProbe
from napari_vrp_sam.models.probe.pseudo_labels import complete, complete_shots, quantile

pytestmark = pytest.mark.full_learning

ALL = (0, 1, 2, 3, 4)
RECIPE = ProbeRecipe(linear=ALL, perceptron=ALL)

SIDE = 96
CENTRES = [(row, column) for row in (16, 48, 80) for column in (16, 48, 80)]


def disc(row: float, column: float, radius: float) -> Tensor:
    rows, columns = torch.arange(SIDE)[:, None] - row, torch.arange(SIDE)[None] - column
    return (rows**2 + columns**2 < radius**2).float()


def features_of(frames: Tensor, size: tuple[int, int] | None = None) -> FrameFeatures:
    """Return frames (B, C, H, W), pooled to strides 2 to 16, and their intensities as features."""
    maps = [F.avg_pool2d(frames, stride) for stride in (2, 4, 8, 16)]
    maps.append(intensities(frames[:, :3]))
    embedding = torch.zeros(len(frames), 1, frames.shape[2] // 8, frames.shape[3] // 8)
    return FrameFeatures(size or (frames.shape[2], frames.shape[3]), embedding, tuple(maps))


def shot_with_maps(features: FrameFeatures, *args: Any, **options: Any) -> Shot:
    return make_shot(features, features.semantic, *args, **options)


def frame(brightness: dict[int, float], default: float = 0.8, seed: int = 0) -> Tensor:
    """Nine equal blobs on dark background, some of another brightness; (1, 3, SIDE, SIDE)."""
    values = torch.full((SIDE, SIDE), 0.2)
    for number, centre in enumerate(CENTRES):
        values = torch.where(disc(*centre, 10) > 0, brightness.get(number, default), values)
    noise = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    return values + 0.03 * noise


def blobs(numbers: list[int]) -> Tensor:
    return torch.stack([disc(*CENTRES[number], 10) for number in numbers]).amax(0) > 0


def dots(number: int, strength: float = 1.0) -> Tensor:
    """Points on one blob, as a mask (1, SIDE, SIDE)."""
    row, column = CENTRES[number]
    marks = [disc(row + 5 * i, column + 5 * j, 1.5) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return strength * torch.stack(marks).amax(0)[None]


def iou(mask: Tensor, ground_truth: Tensor) -> float:
    return float((mask & ground_truth).sum() / (mask | ground_truth).sum())


def quick_ensemble(shots: list[Shot], recipe: ProbeRecipe) -> EnsembleProbe:
    return fit_ensemble(shots, recipe, effort=0.5)


def test_masks_are_not_changed() -> None:
    mask = blobs([0, 1])[None].float()
    shot = shot_with_maps(features_of(frame({})), mask, ["mask"])
    (after,) = complete_shots([shot], RECIPE)
    assert after is shot
    assert not after.completed


Fit = Callable[[list[Shot], ProbeRecipe], EnsembleProbe]


def predict(kind: str, mask: Tensor, target: Tensor, fit: Fit, **marks: Tensor) -> Tensor:
    """Predict the mask of an annotated frame with its own probe, without the ensemble's offset."""
    shot = shot_with_maps(features_of(target), mask, [kind], **marks)
    probe = fit(complete_shots([shot], RECIPE), RECIPE)
    return probe.logits(shot.maps, (SIDE, SIDE))[0, 0] > probe.offset


@pytest.mark.parametrize("fit", [fit_linear_probe, quick_ensemble])
def test_a_mask_of_some_of_many_equal_blobs_finds_the_others(fit: Fit) -> None:
    some, nine = blobs([0, 4])[None].float(), frame({})
    everywhere = predict("partial", some, nine, fit)
    assert min(everywhere[disc(*centre, 5) > 0].float().mean() for centre in CENTRES) > 0.95
    assert everywhere[~blobs(list(range(9)))].float().mean() < 0.01
    # A complete mask means that the other blobs are background.
    assert predict("mask", some, nine, fit)[blobs([1, 8])].sum() == 0


@pytest.mark.parametrize("fit", [fit_linear_probe, quick_ensemble])
@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_points_on_one_of_many_equal_blobs_find_the_others(fit: Fit, strength: float) -> None:
    nine = frame({})
    everywhere = predict("point", dots(4, strength), nine, fit)
    assert min(everywhere[disc(*centre, 5) > 0].float().mean() for centre in CENTRES) > 0.95
    assert everywhere[~blobs(list(range(9)))].float().mean() < 0.01
    # In a mask, everything else is background, including the other blobs.
    assert predict("mask", dots(4, strength), nine, fit)[blobs([0, 8])].sum() == 0


def test_marks_of_other_classes_are_background() -> None:
    """Three blobs of a slightly different colour, one of them marked as another class."""
    target = frame({})
    target[:, 2] -= 0.12 * blobs([0, 3, 6]).float()
    other = blobs([0])[None].float()
    excluding = predict("point", dots(4), target, quick_ensemble, excluded=other)
    alone = predict("point", dots(4), target, quick_ensemble)
    similar_to_other, similar_to_class = (
        torch.stack([disc(*CENTRES[n], 5) for n in numbers]).amax(0) > 0
        for numbers in ([3, 6], [1, 2, 5, 7, 8])
    )
    assert alone[similar_to_other].float().mean() > 0.9
    assert excluding[similar_to_other].float().mean() < 0.6
    assert excluding[similar_to_class].float().mean() > 0.9


def test_marks_of_other_classes_stay_background_in_every_round() -> None:
    shot = shot_with_maps(features_of(frame({})), dots(4), ["point"], excluded=dots(0))
    (after,) = complete_shots([shot], RECIPE)
    assert after.completed
    assert after.background[0][dots(0)[0] > 0].min() == 1
    assert after.foreground[0][dots(0)[0] > 0].max() == 0


def test_pixels_in_a_box_become_background_but_at_least_half_remain() -> None:
    blob, box = disc(48, 48, 28), torch.zeros(1, SIDE, SIDE)
    box[:, 20:77, 20:77] = 1
    noise = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    target = 0.2 + 0.6 * blob + 0.03 * noise
    for fit in (fit_linear_probe, quick_ensemble):
        by_box = predict("box", box, target, fit)
        assert iou(by_box, blob > 0) > iou(box[0] > 0, blob > 0) + 0.05

    (after,) = complete_shots([shot_with_maps(features_of(target), box, ["box"])], RECIPE)
    corners = (box[0] > 0) & ~(disc(48, 48, 30) > 0)
    assert after.foreground[0][blob > 0].min() == 1
    assert after.background[0][corners].mean() > 0.3
    assert after.background[0][box[0] == 0].min() == 1
    empty = features_of(0.2 + 0.03 * noise)
    (after,) = complete_shots([shot_with_maps(empty, box, ["box"])], RECIPE)
    assert after.foreground.sum() >= 0.49 * box.sum()


def test_only_the_labels_of_a_shot_change() -> None:
    shot = shot_with_maps(features_of(frame({})), dots(4), ["point"])
    shot = replace(shot, image=torch.zeros(3, SIDE, SIDE))
    (after,) = complete_shots([shot], RECIPE)
    for name in ("features", "maps", "mask", "excluded", "known", "image"):
        assert getattr(after, name) is getattr(shot, name)


def test_masks_beside_incomplete_references_are_not_changed() -> None:
    everything = blobs(list(range(9)))[None].float()
    whole = shot_with_maps(features_of(frame({}, seed=1)), everything, ["mask"])
    points = shot_with_maps(features_of(frame({})), dots(4), ["point"])
    first, second = complete_shots([whole, points], RECIPE)
    torch.testing.assert_close(first.foreground, whole.foreground, rtol=0, atol=0)
    torch.testing.assert_close(first.background, whole.background, rtol=0, atol=0)
    assert second.foreground.sum() > 3 * points.foreground.sum()
    inner = torch.stack([disc(*centre, 5) for centre in CENTRES]).amax(0) > 0
    assert second.background[0][inner].mean() < 0.1


def channel_probe(classes: int, channel: int) -> LinearProbe:
    """Return a probe whose logits are one channel of the finest map, minus 0.5."""
    total = sum(m.shape[1] for m in features_of(torch.zeros(1, 4, 64, 64)).semantic)
    weight = torch.zeros(classes, total)
    weight[:, channel] = 1
    return LinearProbe(weight, torch.full((classes,), -0.5))


def random_shot(kinds: list[str], seed: int = 0, ignored: Tensor | None = None) -> Shot:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.rand(len(kinds), 4, 64, 64, generator=generator)
    mask = torch.zeros(len(kinds), 64, 64)
    mask[:, 20:40, 24:40] = 1
    excluded = torch.zeros_like(mask)
    excluded[:, :4, :4] = 1
    marks, excluded = mask[:, :60, :56], excluded[:, :60, :56]
    return shot_with_maps(features_of(frames, size=(60, 56)), marks, kinds, excluded, ignored)


@pytest.mark.parametrize("kind", ["point", "box"])
def test_every_round_labels_all_unknown_pixels_again(kind: str) -> None:
    shot = random_shot([kind])
    first, second = channel_probe(1, 0), channel_probe(1, 1)
    first_round = complete(shot, first)
    second_only, again = complete(shot, second), complete(first_round, second)
    torch.testing.assert_close(again.foreground, second_only.foreground)
    torch.testing.assert_close(again.background, second_only.background)
    assert not torch.equal(first_round.background, second_only.background)
    assert (again.foreground + again.background)[:, 60:].sum() == 0


@pytest.mark.parametrize("kind", ["mask", "point", "box"])
def test_ignored_pixels_remain_unknown_in_every_round(kind: str) -> None:
    ignored = torch.zeros(1, 60, 56, dtype=torch.bool)
    ignored[:, 25:45, 30:50] = True
    shot = random_shot([kind], ignored=ignored)
    for _ in range(3):
        assert (shot.foreground + shot.background)[:, :60, :56][ignored].sum() == 0
        assert (shot.foreground + shot.background)[:, :60, :56][~ignored].mean() > 0.5
        shot = complete(shot, channel_probe(1, 0))


def test_classes_of_a_batch_are_completed_independently() -> None:
    kinds = ["point", "box", "mask", "scribble"]
    batch = random_shot(kinds)
    probe = channel_probe(4, 0)
    together = complete(complete(batch, probe), probe)
    for number, kind in enumerate(kinds):
        one = slice(number, number + 1)
        alone = shot_with_maps(
            batch.features[number], batch.mask[one, :60, :56], [kind], batch.excluded[one, :60, :56]
        )
        single = channel_probe(1, 0)
        alone = complete(complete(alone, single), single)
        torch.testing.assert_close(together.foreground[one], alone.foreground)
        torch.testing.assert_close(together.background[one], alone.background)


def test_references_of_different_sizes_are_fitted_together() -> None:
    """Bright blobs on one frame, medium ones on another: the probe finds both."""
    bright, medium = frame({}, default=0.9), frame({}, default=0.6)
    everything = blobs(list(range(9)))[None].float()
    small = F.pad(medium[..., :64], (0, 0, 0, 32))
    shots = [
        shot_with_maps(features_of(bright), everything, ["mask"]),
        shot_with_maps(features_of(small, size=(SIDE, 64)), everything[:, :, :64], ["mask"]),
    ]

    def overlap(references: list[Shot], target: Tensor) -> float:
        probe = fit_linear_probe(references, RECIPE)
        logits = probe.logits(features_of(target).semantic, (SIDE, SIDE))[0, 0]
        return iou(logits > 0, everything[0] > 0)

    assert overlap(shots[:1], medium) < overlap(shots, medium) - 0.2
    assert min(overlap(shots, bright), overlap(shots, medium)) > 0.6


def test_quantiles_of_long_tensors_are_subsampled(monkeypatch: pytest.MonkeyPatch) -> None:
    few = torch.rand(1001, generator=torch.Generator().manual_seed(0))
    assert torch.equal(quantile(few, 0.2), few.quantile(0.2))

    def refusing(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def of_older_releases(values: Tensor, share: float) -> Tensor:
            assert values.numel() <= 2**24, "quantile() input tensor is too large"
            return original(values, share)

        return of_older_releases

    monkeypatch.setattr(Tensor, "quantile", refusing(Tensor.quantile))
    many = torch.linspace(0, 1, 17_000_000)
    torch.testing.assert_close(quantile(many, 0.9), torch.tensor(0.9), rtol=0, atol=1e-5)
