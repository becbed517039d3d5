"""The folded backbone in bands of rows has the output of the original one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from napari_vrp_sam.models.lite import backbone as module
from napari_vrp_sam.models.lite.backbone import FoldedBackbone
from napari_vrp_sam.models.lite.network import LiteNetwork, new_backbone


@pytest.fixture(scope="module")
def backbone() -> nn.Module:
    """Backbone with random weights and random batch norm statistics."""
    torch.manual_seed(0)
    backbone: nn.Module = new_backbone().eval()
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.uniform_(-0.5, 0.5)
            layer.running_var.uniform_(0.5, 1.5)
    return backbone


def assert_maps_close(maps: list[Tensor], expected: list[Tensor]) -> None:
    assert len(maps) == len(expected)
    for actual, wanted in zip(maps, expected, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 96), (32, 32), (96, 160)])
@pytest.mark.parametrize("band_bytes", [1, 50_000, 10**9])
def test_maps_equal_those_of_the_original_backbone(
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
            assert_maps_close(FoldedBackbone(backbone)(x), backbone(x))


def test_a_small_limit_splits_the_frame_into_bands(
    backbone: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the test above compares the same computation three times."""
    convolve, calls = torch.nn.functional.conv2d, []

    def count(*args: Any, **options: Any) -> Tensor:
        calls.append(None)
        return convolve(*args, **options)

    monkeypatch.setattr(module.F, "conv2d", count)
    folded, counts = FoldedBackbone(backbone), []
    for band_bytes in (1, 50_000, 10**9):
        monkeypatch.setattr(module, "BAND_BYTES", band_bytes)
        calls.clear()
        folded(torch.zeros(1, 3, 64, 96))
        counts.append(len(calls))
    assert counts[0] > counts[1] > counts[2]


def test_changed_weights_are_folded_again(
    backbone: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = copy.deepcopy(backbone)
    folded = FoldedBackbone(backbone)
    x = torch.rand(1, 3, 32, 32)
    before = folded(x)
    with monkeypatch.context() as patch:
        patch.delattr(module, "fuse_conv_bn_eval")  # not needed while nothing changes
        assert_maps_close(folded(x), before)
    with torch.no_grad():
        next(backbone.parameters()).mul_(2)
        assert_maps_close(folded(x), backbone(x))
        assert not torch.allclose(folded(x)[0], before[0])
        other = new_backbone().eval()
        backbone.load_state_dict(other.state_dict())
        assert_maps_close(folded(x), other(x))
        backbone.double()
        assert_maps_close(folded(x.double()), backbone(x.double()))


def test_the_folded_backbone_is_outside_the_state_dict_and_gradients_use_the_original() -> None:
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
    assert_maps_close(list(features.semantic), [m.detach() for m in differentiable.semantic])
    # A copy of the network does not share the folded backbone.
    copied = copy.deepcopy(network)
    with torch.no_grad():
        next(copied.backbone.parameters()).zero_()
        assert not copied.encode(frames).semantic[0].allclose(features.semantic[0])
        assert_maps_close(list(network.encode(frames).semantic), list(features.semantic))
