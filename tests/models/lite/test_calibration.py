"""Calibration of a class by hold-out, and the share of the mask decoder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.lite.calibration import (
    MAX_INCOMPLETE_SHARE,
    MAX_SHARE,
    calibrate_class,
    decoder_share,
)
from napari_vrp_sam.models.lite.network import Conditioning
from napari_vrp_sam.models.lite.parts import INTENSITIES
from napari_vrp_sam.models.probe.cross_validation import (
    OTHER_FRAMES_RATIO,
)
from napari_vrp_sam.models.probe.encoded_shots import Shot, assign_folds, make_shot

SIDE = 64


class FixedNetwork:
    """Network with given outputs, which records the shots that it is conditioned on."""

    def __init__(self, pseudo_mask: Tensor, decoded: Tensor | None = None) -> None:
        self.pseudo_mask = pseudo_mask
        self.decoded = pseudo_mask if decoded is None else decoded
        self.learned: list[tuple[list[Shot], list[Shot]]] = []

    def condition(self, shots: list[Shot], views: list[Shot], *, effort: float) -> Conditioning:
        assert 0 < effort < 1
        self.learned.append((shots, views))
        return conditioning(*shots)

    def prompt(self, *_: Any, **__: Any) -> tuple[Tensor, Tensor, Tensor]:
        return torch.zeros(0), torch.zeros(0), self.pseudo_mask

    def decode(self, *_: Any) -> tuple[Tensor, Tensor]:
        return self.decoded, torch.zeros(1, 1)


def conditioning(*shots: Shot, views: tuple[Shot, ...] = ()) -> Conditioning:
    nothing: Any = None
    return Conditioning(shots, views, nothing, nothing, ())


def shot(mask: Tensor, kind: str = "mask", ignored: Tensor | None = None) -> Shot:
    maps = (torch.zeros(1, 1, SIDE // 2, SIDE // 2),)
    intensities = torch.zeros(1, 3, SIDE // 2, SIDE // 2)  # an image without edges
    features = FrameFeatures((SIDE, SIDE), maps[0], (*maps * INTENSITIES, intensities))
    ignored = None if ignored is None else ignored[None]
    return assign_folds([make_shot(features, maps, mask[None], [kind], ignored=ignored)])[0]


def disc(radius: float) -> Tensor:
    """Distance of the cells of the probe's grid to the edge of a disc; negative outside."""
    rows = torch.arange(SIDE // 2) - SIDE / 4 + 0.5
    return radius - torch.hypot(rows[:, None], rows[None])


@pytest.fixture
def ground_truth() -> Tensor:
    return F.interpolate((disc(10) > 0).float()[None, None], (SIDE, SIDE))[0, 0]


def calibrate(logits: Tensor, *shots: Shot) -> Any:
    network: Any = FixedNetwork(logits[None, None])
    return calibrate_class(network, conditioning(*shots))


@pytest.mark.parametrize("shift", [-0.8, 0.0, 0.8])
def test_the_offset_corrects_a_shift_of_the_logits(
    ground_truth: Tensor, shift: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_vrp_sam.models.probe.cross_validation.EDGE_SHARES", (0.0,))
    # A shift of 1 moves the edge by half a cell.
    result = calibrate(2 * disc(10) + shift, shot(ground_truth))
    assert result.offset == pytest.approx(-shift, abs=0.5)
    assert result.expected_iou > 0.9 * OTHER_FRAMES_RATIO


def test_edges_of_the_image_are_used_unless_they_are_clearly_wrong(ground_truth: Tensor) -> None:
    assert calibrate(2 * disc(10), shot(ground_truth)).edge_share > 0
    # Without edges in the image the filter blurs small objects away.
    spots = F.interpolate((disc(2) > 0).float()[None, None], (SIDE, SIDE))[0, 0]
    assert calibrate(2 * disc(2), shot(spots)).edge_share == 0


def test_each_learner_sees_only_one_fold(ground_truth: Tensor) -> None:
    network: Any = FixedNetwork(disc(10)[None, None])
    whole, view = shot(ground_truth), shot(ground_truth)
    calibrate_class(network, conditioning(whole, views=(view,)))
    assert len(network.learned) == 2
    for shots, views in network.learned:
        for learned in (*shots, *views):
            assert learned.foreground.sum() == whole.foreground.sum() / 2
            assert (learned.foreground + learned.background).sum() == whole.known.sum() / 2


def test_every_reference_is_held_out_once(ground_truth: Tensor) -> None:
    network: Any = FixedNetwork(disc(10)[None, None])
    shots = assign_folds([replace(shot(ground_truth), fold=None) for _ in range(3)])
    result = calibrate_class(network, conditioning(*shots))
    assert sorted(len(learned) for learned, _ in network.learned) == [1, 2]
    assert result.expected_iou > 0.9


@pytest.mark.parametrize("kind", ["point", "scribble", "box"])
def test_incomplete_annotations_have_no_estimates(ground_truth: Tensor, kind: str) -> None:
    result = calibrate(disc(10) + 1, shot(ground_truth, kind))
    assert (result.offset, result.expected_iou) == (0, None)


def test_annotations_that_cannot_be_split_have_no_estimates() -> None:
    spot = torch.zeros(SIDE, SIDE)
    spot[30, 30] = 1
    everywhere = torch.ones(SIDE, SIDE)
    for mask in (spot, everywhere):
        result = calibrate(disc(10), shot(mask))
        assert (result.offset, result.expected_iou) == (0, None)


def test_a_class_that_is_not_found_has_an_expected_iou_of_0(ground_truth: Tensor) -> None:
    assert calibrate(torch.full((SIDE // 2, SIDE // 2), -5.0), shot(ground_truth)).expected_iou == 0


def columns(count: int) -> Tensor:
    mask = torch.zeros(SIDE, SIDE)
    mask[:, :count] = 1
    return mask


def share(pseudo_mask: Tensor, decoded: Tensor, *shots: Shot) -> float:
    logits = [4 * F.avg_pool2d(mask[None, None], 2) - 2 for mask in (pseudo_mask, decoded)]
    network: Any = FixedNetwork(*logits)
    return decoder_share(network, conditioning(*shots))


def test_the_share_depends_on_how_well_the_decoder_reproduces_the_annotation() -> None:
    expected_mask = columns(16)
    assert share(expected_mask, expected_mask, shot(expected_mask)) == pytest.approx(MAX_SHARE)
    assert share(expected_mask, 1 - expected_mask, shot(expected_mask)) == 0
    # The decoder finds half of the class, the probe all of it.
    assert share(expected_mask, columns(8), shot(expected_mask)) == pytest.approx(MAX_SHARE * 0.25)
    # Only the difference to the probe counts.
    assert share(columns(8), columns(8), shot(expected_mask)) == pytest.approx(MAX_SHARE)
    assert share(columns(8), expected_mask, shot(expected_mask)) == pytest.approx(MAX_SHARE)


@pytest.mark.parametrize("kind", ["point", "scribble", "box"])
def test_the_share_is_larger_for_incomplete_annotations(kind: str) -> None:
    expected_mask = columns(16)
    marked = shot(expected_mask, kind=kind)
    assert share(expected_mask, expected_mask, marked) == pytest.approx(MAX_INCOMPLETE_SHARE)
    assert share(expected_mask, columns(8), marked) == pytest.approx(MAX_INCOMPLETE_SHARE * 0.5)
    assert share(expected_mask, columns(8), shot(expected_mask), marked) == pytest.approx(
        MAX_INCOMPLETE_SHARE * 0.5
    )


def test_a_probe_that_finds_nothing_leaves_the_full_share_to_the_decoder() -> None:
    expected_mask = columns(16)
    assert share(columns(0), expected_mask, shot(expected_mask)) == pytest.approx(MAX_SHARE)
    assert share(columns(0), columns(0), shot(expected_mask)) == 0


def test_ignored_pixels_do_not_count() -> None:
    expected_mask, ignored = columns(16), columns(24) - columns(8)
    assert share(expected_mask, columns(8), shot(expected_mask, ignored=ignored)) == pytest.approx(
        MAX_SHARE
    )
    assert share(expected_mask, columns(28), shot(expected_mask, ignored=ignored)) < MAX_SHARE


def test_several_references_count_together() -> None:
    few, many = columns(8), columns(16)
    # The decoder finds all of one reference, and half of the union on the other.
    expected = MAX_SHARE * (1.5 / 1.5) ** 2
    assert share(many, many, shot(few), shot(many)) == pytest.approx(expected)
    assert share(many, few, shot(many), shot(many)) == pytest.approx(MAX_SHARE * 0.25)
