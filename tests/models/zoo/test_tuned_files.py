"""Weights files that fine-tuning writes: what they are variants of, before anything is loaded."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import torch

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint, write_checkpoint
from napari_vrp_sam.models.weights.hub import HubFile
from napari_vrp_sam.models.zoo import user_models as zoo
from napari_vrp_sam.models.zoo.registry import describe_prompting, file_spec, model_spec

ONE = torch.zeros(1)
PROBE = {
    "kind": "probe",
    "network": "test_vit.r160_in1k",
    "repository": "timm/test_vit.r160_in1k",
    "licence": "apache-2.0",
}


def test_a_sam_with_a_tuned_decoder_is_prompted_as_in_its_training(tmp_path: Path) -> None:
    path = tmp_path / "tuned.safetensors"
    card = {"kind": "vrp-encoder", "sam": "vit_b"}
    write_checkpoint(path, {"mask_decoder.iou_token.weight": ONE}, card)
    spec = file_spec(str(path))
    assert (spec.name, spec.image_encoder, spec.user_weights) == (str(path), "vit_b", path)
    assert spec.sam_weights == model_spec("vit_b").sam_weights  # which the file lacks
    assert "no VRP encoder" in describe_prompting(str(path))
    assert describe_prompting(str(path)) == describe_prompting(str(path), "points+box")
    assert describe_prompting(str(path)) != describe_prompting("vit_b")
    write_checkpoint(path, {"mask_decoder.iou_token.weight": ONE}, {**card, "sam": "vit_z"})
    with pytest.raises(InputError, match="is based on 'vit_z', which is unknown: update"):
        zoo.add(path)


def test_a_head_on_any_network_of_timm_needs_only_its_backbone(tmp_path: Path) -> None:
    path = tmp_path / "tuned.safetensors"
    write_checkpoint(path, {"dense.scale": ONE}, PROBE)
    zoo.add(path, "cells")
    spec = model_spec("cells")
    assert (spec.image_encoder, spec.licence) == ("test_vit.r160_in1k", "apache-2.0")
    (backbone,) = spec.downloads
    assert isinstance(backbone, HubFile)
    assert backbone.repository == PROBE["repository"]
    for tensors, card in (
        ({"other": ONE}, PROBE),
        ({"dense.scale": ONE}, {k: v for k, v in PROBE.items() if k != "repository"}),
    ):
        write_checkpoint(path, tensors, card)
        with pytest.raises(InputError, match="does not hold weights of a variant of 'timm:"):
            zoo.add(path, "other")


def test_a_smaller_lite_has_the_same_tensors(tmp_path: Path) -> None:
    packaged = resources.files("napari_vrp_sam") / "models/weights/lite.safetensors"
    with resources.as_file(packaged) as original:
        whole = read_checkpoint(original)
    metadata, small = whole.metadata, dict.fromkeys(whole.tensors, ONE)
    path = tmp_path / "small.safetensors"
    write_checkpoint(path, small, {**metadata, "dim": "8"})
    assert zoo.add(path).name == "small"
    for wrong, card in ((small, metadata), ({"other": ONE}, {**metadata, "dim": "8"})):
        write_checkpoint(path, wrong, card)
        with pytest.raises(InputError, match="does not hold weights of a variant of 'lite'"):
            zoo.add(path, "wrong")
