"""Threshold and smoothing follow what is seen on the half that was not learned from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.lite.calibration import (
    OFFSETS,
    OTHER_FRAMES,
    SMOOTHINGS,
    choose,
    smoothed,
)
from napari_vrp_sam.models.lite.model import calibration as evidence
from napari_vrp_sam.models.lite.network import Conditioning
from napari_vrp_sam.models.probe.encoded_shots import Shot, make_shot
from napari_vrp_sam.models.probe.hold_out import with_hold_out

SIDE = 64


class Answers:
    """A network that answers with given logits, and remembers what it was to learn from."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self.learned: list[tuple[list[Shot], list[Shot]]] = []

    def condition(self, shots: list[Shot], views: list[Shot], *, effort: float) -> Conditioning:
        assert 0 < effort < 1
        self.learned.append((shots, views))
        return conditioning(*shots)

    def prompt(self, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
        return torch.zeros(0), torch.zeros(0), self.logits

    def decode(self, *_: Any) -> tuple[Tensor, Tensor]:
        return self.logits, torch.zeros(1, 1)


def conditioning(*shots: Shot, views: tuple[Shot, ...] = ()) -> Conditioning:
    nothing: Any = None
    return Conditioning(shots, views, nothing, nothing, ())


def shot(mask: Tensor, kind: str = "mask") -> Shot:
    maps = (torch.zeros(1, 1, SIDE // 2, SIDE // 2),)
    features = FrameFeatures((SIDE, SIDE), maps[0], maps)
    return with_hold_out([make_shot(features, maps, mask[None], [kind])])[0]


def disc(radius: float) -> Tensor:
    """How far inside a disc the cells of the probe's grid lie; negative outside."""
    rows = torch.arange(SIDE // 2) - SIDE / 4 + 0.5
    return radius - torch.hypot(rows[:, None], rows[None])


@pytest.fixture
def truth() -> Tensor:
    return F.interpolate((disc(10) > 0).float()[None, None], (SIDE, SIDE))[0, 0]


def choice(logits: Tensor, *shots: Shot) -> Any:
    network: Any = Answers(logits[None, None])
    return choose(network, conditioning(*shots))


@pytest.mark.parametrize("shift", [-0.8, 0.0, 0.8])
def test_an_offset_undoes_a_threshold_that_is_off(truth: Tensor, shift: float) -> None:
    # A logit of `shift` where it should be 0: half a cell per unit.
    chosen = choice(2 * disc(10) + shift, shot(truth))
    assert chosen.offset == pytest.approx(-shift, abs=0.5)
    assert chosen.expected_iou > 0.9 * OTHER_FRAMES


def test_noise_is_smoothed(truth: Tensor) -> None:
    noise = 4 * torch.randn(SIDE // 2, SIDE // 2, generator=torch.Generator().manual_seed(0))
    noisy = choice(disc(10).clamp(-2, 2) + noise, shot(truth))
    assert noisy.smoothing == max(SMOOTHINGS) > 0
    assert min(OFFSETS) <= noisy.offset <= max(OFFSETS)
    assert 0.4 < noisy.expected_iou < OTHER_FRAMES


def test_only_the_other_half_is_learned_from(truth: Tensor) -> None:
    network: Any = Answers(disc(10)[None, None])
    whole, view = shot(truth), shot(truth)
    choose(network, conditioning(whole, views=(view,)))
    assert len(network.learned) == 2
    for shots, views in network.learned:
        for own in (*shots, *views):
            assert own.foreground.sum() == whole.foreground.sum() / 2
            assert (own.foreground + own.background).sum() == whole.known.sum() / 2


def test_every_reference_is_left_out_once(truth: Tensor) -> None:
    network: Any = Answers(disc(10)[None, None])
    shots = with_hold_out([replace(shot(truth), half=None) for _ in range(3)])
    chosen = choose(network, conditioning(*shots))
    assert [len(learned) for learned, _ in network.learned] == [2, 1]
    assert chosen.expected_iou > 0.9


@pytest.mark.parametrize("kind", ["point", "scribble", "box"])
def test_what_leaves_too_much_open_tells_nothing(truth: Tensor, kind: str) -> None:
    chosen = choice(disc(10) + 1, shot(truth, kind))
    assert (chosen.smoothing, chosen.offset, chosen.expected_iou) == (0, 0, None)


def test_what_cannot_be_halved_tells_nothing() -> None:
    spot = torch.zeros(SIDE, SIDE)
    spot[30, 30] = 1
    everywhere = torch.ones(SIDE, SIDE)
    for mask in (spot, everywhere):
        chosen = choice(disc(10), shot(mask))
        assert (chosen.smoothing, chosen.offset, chosen.expected_iou) == (0, 0, None)


def test_a_class_that_is_not_found_is_expected_not_to_be(truth: Tensor) -> None:
    assert choice(torch.full((SIDE // 2, SIDE // 2), -5.0), shot(truth)).expected_iou == 0


@pytest.mark.parametrize("sigma", evidence.SMOOTHINGS)
def test_smoothing_keeps_what_is_even(sigma: float) -> None:
    even = torch.full((2, 1, 5, 7), 3.0)
    torch.testing.assert_close(smoothed(even, sigma), even)
