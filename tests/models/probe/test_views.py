"""Augmented views: labels are transformed with the image, and the class is in view."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.probe.encoded_shots import Shot, make_shot
from napari_vrp_sam.models.probe.views import (
    MIN_SIDE,
    SCALES,
    VIEW_COUNT,
    VIEW_SIDE,
    augmented_views,
    sample_view,
)


class View(NamedTuple):
    image: Tensor
    layers: Tensor


def field(height: int, width: int, seed: int = 0) -> Tensor:
    """A smooth random field in 0..1 without any symmetry."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 5, 6, generator=generator)
    return F.interpolate(coarse, (height, width), mode="bicubic")[0, 0].clamp(0, 1)


def painted(foreground: Tensor, background: Tensor) -> Tensor:
    """Return a frame whose colours are the labels of its pixels."""
    return torch.stack([foreground, background, torch.full_like(foreground, 0.5)])


def views(foreground: Tensor, background: Tensor, count: int, seed: int = 0) -> list[View]:
    rng = np.random.default_rng(seed)
    image = painted(foreground, background)
    return [
        View(*sample_view(image, torch.stack([foreground, background]), rng)) for _ in range(count)
    ]


def assert_shows(channel: Tensor, labels: Tensor) -> None:
    """Assert that a channel is a monotonic function of the labels, as after gamma and gain."""
    order = labels.flatten().argsort()
    assert channel.flatten()[order].diff().min() > -1e-4


def orientations(layer: Tensor) -> list[Tensor]:
    turned = [torch.rot90(layer, quarter) for quarter in range(4)]
    return [*turned, *(t.flip(1) for t in turned)]


@pytest.mark.parametrize("shape", [(48, 80), (16, 16), (700, 300)])
def test_labels_are_transformed_with_the_image(shape: tuple[int, int]) -> None:
    foreground = field(*shape)
    background = (1 - foreground) * (field(*shape, seed=1) > 0.4)
    for view in views(foreground, background, 16):
        assert view.image.shape[1:] == view.layers[0].shape == view.layers[1].shape
        assert view.image.shape[0] == 3
        assert_shows(view.image[0], view.layers[0])
        assert_shows(view.image[1], view.layers[1])
        assert view.layers[0].max() - view.layers[0].min() > 0.2


def test_views_are_rotated_flipped_and_scaled() -> None:
    foreground = field(60, 90)
    seen, sides = set(), set()
    for view in views(foreground, 1 - foreground, 60):
        long, short = max(view.layers[0].shape), min(view.layers[0].shape)
        assert SCALES[0] - 0.02 < long / 90 < SCALES[1] + 0.02
        assert long / 90 == pytest.approx(short / 60, abs=0.02)
        upright = orientations(view.layers[0])
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


def test_the_brightness_changes_within_the_range() -> None:
    foreground = (field(40, 40) > 0.5).float()
    background = 1 - foreground
    gray = set()
    for view in views(foreground, background, 40):
        for layer in (view.image, view.layers[0], view.layers[1]):
            assert layer.min() >= 0
            assert layer.max() <= 1 + 1e-6
        assert view.image[2].max() - view.image[2].min() < 1e-5  # uniformly over the frame
        gray.add(round(float(view.image[2].mean()), 3))
    assert len(gray) > 30
    assert min(gray) < 0.45
    assert max(gray) > 0.55
    assert max(gray) - min(gray) < 0.6


def test_a_large_frame_is_cropped_around_some_of_the_class() -> None:
    foreground = torch.zeros(1500, 1100)
    foreground[1200:1212, 70:82] = 1
    centres = []
    for view in views(foreground, 1 - foreground, 20):
        assert VIEW_SIDE - 2 <= max(view.image.shape) <= VIEW_SIDE
        assert min(view.image.shape[1:]) >= VIEW_SIDE - 2
        assert view.layers[0].max() > 0.9
        centres.append((view.layers[0] > 0.5).nonzero().float().mean(0) / VIEW_SIDE)
    assert torch.stack(centres).std(dim=0).min() > 0.05  # not always in the same place


def test_a_long_frame_is_cropped_along_its_length_only() -> None:
    foreground = torch.zeros(2000, 100)
    foreground[1900:1910, 40:60] = 1
    for view in views(foreground, 1 - foreground, 8):
        assert VIEW_SIDE - 2 <= max(view.layers[0].shape) <= VIEW_SIDE
        assert 68 <= min(view.layers[0].shape) <= 142
        assert view.layers[0].max() > 0.9


def test_unknown_pixels_remain_unknown() -> None:
    foreground, background = torch.zeros(64, 64), torch.zeros(64, 64)
    foreground[:24, :40], background[:24, 40:] = 1, 1
    for view in views(foreground, background, 12):
        total = view.layers[0] + view.layers[1]
        assert total.max() <= 1 + 1e-5
        share = float((total > 0.5).float().mean())
        assert share == pytest.approx(24 / 64, abs=0.04)
        assert (total == 0).float().mean() > 0.5


def test_faint_marks_and_small_known_regions_are_in_view() -> None:
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


def test_views_are_reproducible_and_do_not_change_the_frame() -> None:
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


def encode(frames: Tensor) -> FrameFeatures:
    """Encode frames by pooling, with padding to a multiple of 32."""
    height, width = frames.shape[-2:]
    padded = F.pad(frames, (0, -width % 32, 0, -height % 32), mode="replicate")
    maps = (F.avg_pool2d(padded, 2), F.avg_pool2d(padded, 4))
    return FrameFeatures((height, width), F.avg_pool2d(padded, 8), maps)


def shot_with_image(seed: int = 0, **options: Any) -> Shot:
    """A shot with the pixels of its frame, whose odd size needs padding."""
    image = torch.rand(1, 3, 50, 70, generator=torch.Generator().manual_seed(seed))
    mask = torch.zeros(1, 50, 70)
    mask[:, 8:32, 8:40] = 1
    features = encode(image)
    shot = make_shot(features, features.semantic, mask, ["mask"], **options)
    return replace(shot, image=image[0])


def test_views_are_encoded_shots() -> None:
    left = torch.zeros(1, 50, 70, dtype=torch.bool)
    left[:, :, :30] = True
    shot = shot_with_image(ignored=left)
    encoded = augmented_views([shot], encode)
    assert len(encoded) == VIEW_COUNT
    assert len({view.features.size for view in encoded}) > 1
    for view in encoded:
        height, width = view.features.size
        assert view.maps is view.features.semantic
        assert view.mask.shape[-2:] == tuple(2 * side for side in view.maps[0].shape[-2:])
        torch.testing.assert_close(view.foreground + view.background, view.known)
        # The fractions of class and of unknown pixels are those of the frame.
        area = height * width
        share = float(view.foreground.sum()) / area
        assert share == pytest.approx(float(shot.foreground.sum()) / 3500, abs=0.02)
        assert float(view.known.sum()) / area == pytest.approx(4 / 7, abs=0.03)
        assert view.foreground[:, height:].sum() == view.known[:, :, width:].sum() == 0
    for one, other in zip(encoded, augmented_views([shot], encode), strict=True):
        assert torch.equal(one.features.embedding, other.features.embedding)
        assert torch.equal(one.foreground, other.foreground)


def test_every_frame_with_pixels_has_views() -> None:
    shots = [shot_with_image(seed) for seed in range(2)]
    assert len(augmented_views(shots, encode)) == 2 * 3
    assert len(augmented_views([shots[0], replace(shots[1], image=None)], encode)) == 3
    assert augmented_views([replace(shot, image=None) for shot in shots], encode) == []
