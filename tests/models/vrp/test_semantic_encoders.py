"""Semantic encoders: stages, strides, frozen parameters and weights files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.vrp.semantic_encoders import (
    SEMANTIC_ENCODERS,
    ResNet50,
    SemanticEncoder,
    build_semantic_encoder,
    concatenate_stages,
)

GRIDS = {
    "resnet50": ((512, 12), (1024, 12), (2048, 12)),
    "vgg16": ((256, 12), (512, 6), (512, 6)),
    # Frames of 96 px are resized to 98 px, seven patches of 14.
    "dinov2_b14": ((768, 7), (768, 7), (768, 7)),
    "efficientnet_lite0": ((40, 12), (112, 6), (320, 3)),
    "lite": ((40, 12), (112, 6), (320, 3)),
}


@pytest.fixture(scope="module", params=SEMANTIC_ENCODERS)
def named(request: pytest.FixtureRequest) -> tuple[str, SemanticEncoder]:
    torch.manual_seed(0)
    return request.param, build_semantic_encoder(request.param)


@torch.inference_mode()
def test_widths_and_strides_of_stages(
    named: tuple[str, SemanticEncoder],
) -> None:
    name, encoder = named
    stages = encoder(torch.rand(2, 3, 96, 96))
    assert [tuple(s.shape) for s in stages] == [(2, c, g, g) for c, g in GRIDS[name]]
    assert tuple(s.shape[1] for s in stages) == encoder.channels
    assert all(s.dtype == torch.float32 for s in stages)
    joined = concatenate_stages(stages[0], stages[1])
    assert joined.shape == (2, sum(encoder.channels[:2]), *stages[1].shape[-2:])


@torch.inference_mode()
def test_stage_4_depends_on_stage_3_features(named: tuple[str, SemanticEncoder]) -> None:
    _, encoder = named
    _, stage_3, stage_4 = encoder(torch.rand(1, 3, 70, 98))
    torch.testing.assert_close(encoder.stage_4(stage_3), stage_4)
    mask = torch.zeros_like(stage_3[:, :1])
    mask[..., :2, :2] = 1
    assert (encoder.stage_4(stage_3 * mask) - stage_4).abs().max() > 1e-6


def test_frozen_parameters_and_evaluation_mode(
    named: tuple[str, SemanticEncoder],
) -> None:
    _, encoder = named
    nn.Sequential(encoder).train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_resnet_has_deep_stem_and_dilated_blocks() -> None:
    net = ResNet50().backbone
    stem = [m for m in net.conv1 if isinstance(m, nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size, c.stride) for c in stem] == [
        (64, (3, 3), (2, 2)),
        (64, (3, 3), (1, 1)),
        (128, (3, 3), (1, 1)),
    ]
    for stage, dilation in ((net.layer3, 2), (net.layer4, 4)):
        for block in stage:
            assert block.conv2.dilation == block.conv2.padding == (dilation, dilation)
            assert block.conv2.stride == (1, 1)


def test_weights_file_round_trip(named: tuple[str, SemanticEncoder], tmp_path: Path) -> None:
    name, encoder = named
    prefix = "features." if name == "vgg16" else ""
    state = {prefix + n: t for n, t in encoder.backbone.state_dict().items()}
    state = {n: t.contiguous() for n, t in state.items() if "num_batches_tracked" not in n}
    # Published files hold a classifier too.
    state |= {"fc.weight": torch.zeros(3), "classifier.weight": torch.zeros(3)}
    save_file(state, tmp_path / "weights.safetensors")

    torch.manual_seed(1)
    loaded = build_semantic_encoder(name, tmp_path / "weights.safetensors")

    for key, tensor in encoder.backbone.state_dict().items():
        assert torch.equal(loaded.backbone.state_dict()[key], tensor), key


def test_resnet_accepts_names_of_pspnet(tmp_path: Path) -> None:
    def pspnet_name(name: str) -> str:
        stem = {"conv1.0": "conv1", "conv1.1": "bn1", "conv1.3": "conv2", "conv1.4": "bn2"}
        stem |= {"conv1.6": "conv3", "bn1": "bn3"}
        for ours, theirs in stem.items():
            if name.startswith(ours + "."):
                return theirs + name.removeprefix(ours)
        return name

    torch.manual_seed(0)
    encoder = ResNet50()
    state: dict[str, Tensor] = {pspnet_name(n): t for n, t in encoder.backbone.state_dict().items()}
    assert "conv3.weight" in state
    torch.save(state, tmp_path / "resnet50_v2.pth")
    torch.manual_seed(1)
    loaded = build_semantic_encoder("resnet50", tmp_path / "resnet50_v2.pth")
    for key, tensor in encoder.backbone.state_dict().items():
        assert torch.equal(loaded.backbone.state_dict()[key], tensor), key


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    state = build_semantic_encoder("efficientnet_lite0").backbone.state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="does not hold weights of this model"):
        build_semantic_encoder("resnet50", tmp_path / "weights.safetensors")


def test_unknown_name() -> None:
    with pytest.raises(InputError, match=r"no semantic encoder 'resnet5'.*resnet50"):
        build_semantic_encoder("resnet5")
