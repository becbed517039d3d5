"""Folded and in bands, the backbone gives what it gave."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from napari_vrp_sam.models.lite.backbone import FoldedBackbone
from napari_vrp_sam.models.lite.model import backbone as module
from napari_vrp_sam.models.lite.network import LiteNetwork, new_backbone


@pytest.fixture(scope="module")
def backbone() -> nn.Module:
    """Random weights, and statistics that batch norm would not have by itself."""
    torch.manual_seed(0)
    backbone: nn.Module = new_backbone().eval()
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.uniform_(-0.5, 0.5)
            layer.running_var.uniform_(0.5, 1.5)
    return backbone


def assert_same(maps: list[Tensor], expected: list[Tensor]) -> None:
    assert len(maps) == len(expected)
    for ours, theirs in zip(maps, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 96), (32, 32), (96, 160)])
@pytest.mark.parametrize("band_bytes", [1, 50_000, 10**9])
def test_maps_are_the_backbone_s(
    backbone: nn.Module,
    size: tuple[int, int],
    band_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BAND_BYTES", band_bytes)
    frames = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    for layout in (torch.contiguous_format, torch.channels_last):
        x = frames.contiguous(memory_format=layout)
        with torch.no_grad():
            assert_same(FoldedBackbone(backbone)(x), backbone(x))


def test_bands_are_one_row_to_the_whole_frame(
    backbone: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the test above compares the same thing three times."""
    folded = FoldedBackbone(backbone)
    x = torch.zeros(1, 16, 48, 64)
    folded(torch.zeros(1, 3, 32, 32))
    widest = folded._stages[1][0]
    heights = []
    for band_bytes in (1, 2 * 64 * 96 * 2 * 4, 10**9):
        monkeypatch.setattr(module, "BAND_BYTES", band_bytes)
        heights.append(min(widest._band(x), 24))
    assert heights == [1, 2, 24]


def test_weights_that_change_are_folded_anew(backbone: nn.Module) -> None:
    backbone = copy.deepcopy(backbone)
    folded = FoldedBackbone(backbone)
    x = torch.rand(1, 3, 32, 32)
    before = folded(x)
    blocks = folded._stages
    assert_same(folded(x), before)
    assert folded._stages is blocks
    with torch.no_grad():
        next(backbone.parameters()).mul_(2)
        assert_same(folded(x), backbone(x))
        assert not torch.allclose(folded(x)[0], before[0])
        other = new_backbone().eval()
        backbone.load_state_dict(other.state_dict())
        assert_same(folded(x), other(x))
        backbone.double()
        assert_same(folded(x.double()), backbone(x.double()))


def test_no_part_of_the_state_dict_and_gradients_take_the_backbone_itself() -> None:
    torch.manual_seed(0)
    network = LiteNetwork()
    frames = torch.rand(1, 3, 32, 32)
    names = set(network.state_dict())
    with torch.no_grad():
        features = network.encode(frames)
    assert set(network.state_dict()) == names
    network.backbone.requires_grad_(requires_grad=True)
    differentiable = network.encode(frames)
    assert differentiable.semantic[4].requires_grad
    assert not features.semantic[4].requires_grad
    assert_same(list(features.semantic), [m.detach() for m in differentiable.semantic])
    # A copy has a folded backbone of its own.
    twin = copy.deepcopy(network)
    with torch.no_grad():
        next(twin.backbone.parameters()).zero_()
        assert not twin.encode(frames).semantic[0].allclose(features.semantic[0])
        assert_same(list(network.encode(frames).semantic), list(features.semantic))
