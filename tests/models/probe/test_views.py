"""Views show the same scene: labels go where the image goes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.probe.views import MIN_SIDE, SCALES, VIEW_SIDE, View, sample_view


def field(height: int, width: int, seed: int = 0) -> Tensor:
    """A smooth random field in 0..1 without any symmetry."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 5, 6, generator=generator)
    return F.interpolate(coarse, (height, width), mode="bicubic")[0, 0].clamp(0, 1)


def painted(foreground: Tensor, background: Tensor) -> Tensor:
    """A frame that shows in its colours what is known of each pixel."""
    return torch.stack([foreground, background, torch.full_like(foreground, 0.5)])


def views(foreground: Tensor, background: Tensor, count: int, seed: int = 0) -> list[View]:
    rng = np.random.default_rng(seed)
    image = painted(foreground, background)
    return [sample_view(image, torch.stack([foreground, background]), rng) for _ in range(count)]


def assert_shows(channel: Tensor, labels: Tensor) -> None:
    """Another light keeps the order of brightness, and nothing else can."""
    order = labels.flatten().argsort()
    assert channel.flatten()[order].diff().min() > -1e-4


def turns(layer: Tensor) -> list[Tensor]:
    turned = [torch.rot90(layer, quarter) for quarter in range(4)]
    return [*turned, *(t.flip(1) for t in turned)]


@pytest.mark.parametrize("shape", [(48, 80), (16, 16), (700, 300)])
def test_labels_move_with_the_image(shape: tuple[int, int]) -> None:
    foreground = field(*shape)
    background = (1 - foreground) * (field(*shape, seed=1) > 0.4)
    for view in views(foreground, background, 16):
        assert view.image.shape[1:] == view.layers[0].shape == view.layers[1].shape
        assert view.image.shape[0] == 3
        assert_shows(view.image[0], view.layers[0])
        assert_shows(view.image[1], view.layers[1])
        assert view.layers[0].max() - view.layers[0].min() > 0.2


def test_a_view_is_the_frame_turned_and_scaled() -> None:
    foreground = field(60, 90)
    seen, sides = set(), set()
    for view in views(foreground, 1 - foreground, 60):
        long, short = max(view.layers[0].shape), min(view.layers[0].shape)
        assert SCALES[0] - 0.02 < long / 90 < SCALES[1] + 0.02
        assert long / 90 == pytest.approx(short / 60, abs=0.02)
        upright = turns(view.layers[0])
        errors = [
            float(
                (F.interpolate(t[None, None], (60, 90), mode="bilinear") - foreground).abs().max()
            )
            for t in upright
        ]
        best = int(np.argmin(errors))
        assert errors[best] < 0.06 < 0.3 < sorted(errors)[1]
        seen.add(best)
        sides.add(long)
        torch.testing.assert_close(view.layers[0] + view.layers[1], torch.ones_like(upright[0]))
    assert len(seen) == 8
    assert min(sides) < 72
    assert max(sides) > 108


def test_the_light_changes_and_values_stay_in_range() -> None:
    foreground = (field(40, 40) > 0.5).float()
    background = 1 - foreground
    gray = set()
    for view in views(foreground, background, 40):
        for layer in (view.image, view.layers[0], view.layers[1]):
            assert layer.min() >= 0
            assert layer.max() <= 1 + 1e-6
        assert view.image[2].max() - view.image[2].min() < 1e-5  # the same light everywhere
        gray.add(round(float(view.image[2].mean()), 3))
    assert len(gray) > 30
    assert min(gray) < 0.45
    assert max(gray) > 0.55
    assert max(gray) - min(gray) < 0.6


def test_of_a_large_frame_a_part_with_some_of_the_class() -> None:
    foreground = torch.zeros(1500, 1100)
    foreground[1200:1212, 70:82] = 1
    centres = []
    for view in views(foreground, 1 - foreground, 20):
        assert VIEW_SIDE - 2 <= max(view.image.shape) <= VIEW_SIDE
        assert min(view.image.shape[1:]) >= VIEW_SIDE - 2
        assert view.layers[0].max() > 0.9
        centres.append((view.layers[0] > 0.5).nonzero().float().mean(0) / VIEW_SIDE)
    assert torch.stack(centres).std(dim=0).min() > 0.05  # not always in the same place


def test_a_long_frame_is_cut_along_its_length_only() -> None:
    foreground = torch.zeros(2000, 100)
    foreground[1900:1910, 40:60] = 1
    for view in views(foreground, 1 - foreground, 8):
        assert VIEW_SIDE - 2 <= max(view.layers[0].shape) <= VIEW_SIDE
        assert 68 <= min(view.layers[0].shape) <= 142
        assert view.layers[0].max() > 0.9


def test_unknown_pixels_stay_unknown() -> None:
    foreground, background = torch.zeros(64, 64), torch.zeros(64, 64)
    foreground[:24, :40], background[:24, 40:] = 1, 1
    for view in views(foreground, background, 12):
        total = view.layers[0] + view.layers[1]
        assert total.max() <= 1 + 1e-5
        share = float((total > 0.5).float().mean())
        assert share == pytest.approx(24 / 64, abs=0.04)
        assert (total == 0).float().mean() > 0.5


def test_faint_marks_and_what_little_is_known_are_in_view() -> None:
    foreground, background = torch.zeros(1400, 1400), torch.zeros(1400, 1400)
    background[1300:1340, 1300:1340] = 1
    for view in views(foreground, background, 4):
        assert view.layers[1].max() > 0.9
    foreground[1200:1220, 1100:1120] = 0.4
    for view in views(foreground, background, 4):
        assert view.layers[0].max() > 0.3


@pytest.mark.parametrize("side", [16, 900])
def test_frames_without_the_class(side: int) -> None:
    nothing = torch.zeros(side, side)
    for view in views(nothing, 1 - nothing, 6):
        assert min(view.image.shape[1:]) >= MIN_SIDE
        assert max(view.image.shape[1:]) <= VIEW_SIDE
        assert view.layers[0].max() == 0
        torch.testing.assert_close(view.layers[1], torch.ones_like(view.layers[1]))


def test_a_view_is_repeatable_and_leaves_the_frame_alone() -> None:
    foreground = field(40, 50)
    before, state = foreground.clone(), torch.get_rng_state()
    first, second = (views(foreground, 1 - foreground, 2, seed=3) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.layers, other.layers)
    assert first[0].image.shape != first[1].image.shape or not torch.equal(
        first[0].image, first[1].image
    )
    assert torch.equal(foreground, before)
    assert torch.equal(torch.get_rng_state(), state)
