"""Dense features of timm's networks."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.backbones import dense_features
from napari_vrp_sam.models.backbones.dense_features import MAX_TOKENS, DenseBackbone, windows

VIT = "vit_tiny_patch16_dinov3_qkvb"
"""A small vision transformer of timm with rotary position encodings."""


@pytest.fixture(scope="module")
def vit() -> DenseBackbone:
    torch.manual_seed(0)
    return DenseBackbone(VIT)


def frames(height: int, width: int, count: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, height, width, generator=generator)


def test_tokens_are_those_of_timm(vit: DenseBackbone) -> None:
    images = frames(64, 96)
    (tokens,) = vit(images)
    normalised = (images - vit.mean) / vit.std
    # timm's own forward pass ends with the normalised tokens of the last block.
    prefix = vit.network.num_prefix_tokens
    last = vit.network.forward_features(normalised)[:, prefix:]
    width = last.shape[-1]
    assert tokens.shape == (1, 4 * width, 4, 6)
    torch.testing.assert_close(tokens[:, -width:].flatten(2).mT, last)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "tf_efficientnet_lite0"])
def test_maps_of_pyramids_are_those_of_timm(name: str) -> None:
    torch.manual_seed(0)
    backbone = DenseBackbone(name)
    images = frames(64, 96)
    maps = backbone(images)
    normalised = (images - backbone.mean) / backbone.std
    features = timm.create_model(name, features_only=True).eval()
    state = backbone.network.state_dict()
    # timm flattens the names of some networks: stages.0 becomes stages_0.
    renamed = {re.sub(r"^(stem|stages)\.", r"\1_", key): value for key, value in state.items()}
    names = features.state_dict()
    features.load_state_dict({key: (state | renamed)[key] for key in names})
    expected = features(normalised)
    assert [m.shape for m in maps] == [m.shape for m in expected]
    for found, other in zip(maps, expected, strict=True):
        torch.testing.assert_close(found, other)


def test_frames_of_any_size_are_covered(vit: DenseBackbone) -> None:
    (tokens,) = vit(frames(50, 75))
    assert tokens.shape[-2:] == (3, 5)
    (tokens,) = vit(frames(50, 75), scale=2.0)
    assert tokens.shape[-2:] == (6, 9)
    (tokens,) = vit(frames(4, 4))
    assert tokens.shape[-2:] == (1, 1)


@pytest.mark.parametrize("length", [1, 5, MAX_TOKENS, MAX_TOKENS + 1, 64, 71, 100, 333])
def test_windows_cover_an_axis_and_overlap(length: int) -> None:
    found = list(windows(length))
    assert found[0][0] == found[0][2] == 0
    assert found[-1][1] == length
    assert len({stop - start for start, stop, _ in found}) == 1
    assert all(stop - start <= MAX_TOKENS for start, stop, _ in found)
    for (_, stop, _), (start, _, first) in pairwise(found):
        assert stop - start >= dense_features.OVERLAP
        assert start < first < stop


def test_windows_put_tokens_where_they_belong(
    vit: DenseBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = frames(16 * 50, 16 * 45)
    means = torch.nn.functional.avg_pool2d(images, 16)
    # Each token stands for itself, so that windows can be compared with the whole.
    monkeypatch.setattr(
        DenseBackbone, "_tokens", lambda _, part: torch.nn.functional.avg_pool2d(part, 16)
    )
    (tokens,) = vit(images)
    torch.testing.assert_close(tokens, (means - vit.mean) / vit.std)


def test_weights_are_read_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    original = timm.create_model("resnet18").eval()  # with a classifier
    path = tmp_path / "weights.safetensors"
    save_file(original.state_dict(), path)
    backbone = DenseBackbone("resnet18", path)
    images = frames(64, 64)
    expected = original.forward_features((images - backbone.mean) / backbone.std)
    torch.testing.assert_close(backbone(images)[-1], expected)


def test_bad_names_and_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="timm has no network 'resnet1'"):
        DenseBackbone("resnet1")
    path = tmp_path / "weights.safetensors"
    save_file({"other": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="does not hold weights of 'resnet18'"):
        DenseBackbone("resnet18", path)
    path.write_bytes(b"no weights")
    with pytest.raises(InputError, match="is damaged"):
        DenseBackbone("resnet18", path)
