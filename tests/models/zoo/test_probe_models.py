"""Probe models by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.backbones.model import ProbeModel
from napari_vrp_sam.models.weights.hub import HubFile, hub_folder
from napari_vrp_sam.models.weights.probe_models import PROBE_MODELS
from napari_vrp_sam.models.zoo.registry import load_model, model_spec


def test_entries_are_networks_of_timm_with_their_licence() -> None:
    for spec in PROBE_MODELS:
        config = timm.models.get_pretrained_cfg(spec.image_encoder)
        (file,) = spec.downloads
        assert isinstance(file, HubFile)
        assert file.repository == config.hf_hub_id
        assert spec.licence.lower().replace(" ", "-") == config.license
        assert not spec.ready


def test_any_network_of_timm_by_name(cache: Path) -> None:
    spec = model_spec("timm:resnet18.a1_in1k")
    assert spec.downloads[0].url.startswith("https://huggingface.co/timm/resnet18.a1_in1k/")
    assert spec.licence == "apache-2.0"
    # As the Hub's client stores it.
    snapshot = hub_folder() / "models--timm--resnet18.a1_in1k" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("a" * 40)
    torch.manual_seed(0)
    original = timm.create_model("resnet18")
    save_file(original.state_dict(), snapshot / "model.safetensors")
    assert spec.ready
    model = load_model("timm:resnet18.a1_in1k", device="cpu")
    assert isinstance(model, ProbeModel)
    assert torch.equal(model.backbone.network.conv1.weight, original.conv1.weight)


def test_mistakes_are_reported() -> None:
    with pytest.raises(InputError, match="timm has no published weights for 'resnet'"):
        model_spec("timm:resnet")
    with pytest.raises(InputError, match="'dinov2_s' is a probe model"):
        load_model("dinov2_s", prompting="points", device="cpu")


def test_random_weights_are_for_measurements() -> None:
    model = load_model("timm:vit_tiny_patch16_dinov3_qkvb.eupe_lvd1689m", weights="random")
    assert isinstance(model, ProbeModel)
