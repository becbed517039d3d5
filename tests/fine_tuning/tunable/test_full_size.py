"""Fine-tuning of full-size models, with a tiny SAM of the same classes."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.tiny_sam import build_tiny_sam

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning import run
from napari_vrp_sam.fine_tuning.events import FineTuningResult, TrainingStep, Validation
from napari_vrp_sam.fine_tuning.tunable import full_size
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.models.probe.ensemble import fit_linear_probe
from napari_vrp_sam.models.sam.files import load_tuned_weights, read_vrp_encoder
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.vrp.semantic_encoders import EfficientNetLite0
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint, write_checkpoint


def build(path=None, *, vrp=True, pseudo_mask="correlation"):
    """Build a tiny full-size model, with the weights of a file if any."""
    sam = build_tiny_sam()
    torch.manual_seed(2)
    semantic = EfficientNetLite0()
    encoder = VRPEncoder(152, 64, queries=6) if vrp else None
    lora_updates = {}
    if path is not None:
        checkpoint = read_checkpoint(path)
        encoder = read_vrp_encoder(checkpoint, source=str(path))
        lora_updates = load_tuned_weights(sam, checkpoint, source=str(path))
    model = FullSizeModel(
        "vit_b", sam, semantic, encoder, semantic_side=128, pseudo_mask=pseudo_mask
    )
    model.lora_updates = lora_updates
    return model.eval()


@pytest.fixture
def recipe(recipe):
    return replace(recipe, full_size_crop=64, pool=4, batch_size=1)


@pytest.fixture
def fine_tune(monkeypatch, recipe):
    """Run a job on a tiny model; return the events and the trained model."""

    def fine_tune(job, *, recipe=recipe, **options):
        model = build(**options)
        monkeypatch.setattr(run, "load_model", lambda *_, **__: model)
        job.check()
        return list(run.fine_tune_events(job, Control(), recipe=recipe)), model

    return fine_tune


def image():
    return torch.rand(1, 3, 72, 80, generator=torch.Generator().manual_seed(0))


def assert_same_embedding(one, other):
    with torch.no_grad():
        torch.testing.assert_close(
            one.encode(image()).embedding, other.encode(image()).embedding, atol=1e-4, rtol=1e-3
        )


@pytest.mark.parametrize("pseudo_mask", ["correlation", "probe"])
@pytest.mark.parametrize("parts", ["vrp-encoder", "decoder", "lora"])
def test_file_contains_the_trained_parts(
    job_of, fine_tune, rising, parts, pseudo_mask, monkeypatch
):
    monkeypatch.setattr(
        "napari_vrp_sam.models.sam.probe.fit_ensemble",
        lambda shots, recipe, *_: fit_linear_probe(shots, recipe),
    )
    job = job_of(1, 2, steps=3, parts=parts, model="vit_b")
    events, trained = fine_tune(job, pseudo_mask=pseudo_mask)
    assert isinstance(events[-1], FineTuningResult)
    assert events[-1].path == job.output
    steps = [event for event in events if isinstance(event, TrainingStep)]
    assert all(np.isfinite(step.loss) for step in steps)

    card = read_checkpoint(job.output).metadata
    assert (card["kind"], card["sam"]) == ("vrp-encoder", "vit_b")
    assert card["semantic_encoder"] == "efficientnet_lite0"
    base, loaded = build(), build(job.output)
    for name, tensor in trained.vrp_encoder.state_dict().items():
        assert torch.equal(tensor, loaded.vrp_encoder.state_dict()[name])
    changed = {
        name.partition(".")[0]
        for name, tensor in base.sam.state_dict().items()
        if not torch.equal(tensor, loaded.sam.state_dict()[name])
    }
    expected = {
        "vrp-encoder": set(),
        "decoder": {"mask_decoder"},
        "lora": {"mask_decoder", "image_encoder"},
    }
    assert changed == expected[parts]
    queries = base.vrp_encoder.generator.queries
    assert not torch.equal(queries, loaded.vrp_encoder.generator.queries)
    assert_same_embedding(loaded, trained)


def test_iou_is_constant_without_learning(job_of, fine_tune, recipe):
    frozen = replace(recipe, learning_rate=0.0, lora_rate=0.0, weight_decay=0.0)
    events, _ = fine_tune(job_of(1, 2, steps=2, parts="lora", model="vit_b"), recipe=frozen)
    ious = [event.iou for event in events if isinstance(event, Validation)]
    assert len(ious) == 3
    assert max(ious) - min(ious) < 1e-6


def test_frames_are_encoded_once_with_a_frozen_image_encoder(job_of, fine_tune, monkeypatch):
    encoded = []
    features = FullSizeModel.features
    monkeypatch.setattr(
        FullSizeModel, "features", lambda self, f: encoded.append(len(f)) or features(self, f)
    )
    fine_tune(job_of(1, 2, steps=16, model="vit_b"))
    # Two frames, and for each of two folds a pool of 4 + 1 episodes of two frames.
    assert sum(encoded) <= 2 + 2 * 5 * 2


def test_mask_decoder_is_trained_without_a_vrp_encoder(job_of, fine_tune):
    job = job_of(1, 2, steps=2, model="vit_b")
    events, _ = fine_tune(job, vrp=False)
    assert events[-1].path == job.output
    assert build(job.output).vrp_encoder is None


def test_missing_vrp_encoder_cannot_be_trained(job_of, fine_tune):
    with pytest.raises(InputError, match="has no VRP encoder: choose the parts 'decoder'"):
        fine_tune(job_of(parts="vrp-encoder", model="vit_b"), vrp=False)


def test_missing_package_for_lora_is_named(job_of, fine_tune, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"pip install 'napari-vrp-sam\[lora\]'"):
        fine_tune(job_of(parts="lora", model="vit_b"))


def test_second_fine_tuning_adds_to_the_first(job_of, fine_tune, rising, tmp_path):
    first = job_of(1, 2, steps=2, parts="lora", model="vit_b")
    fine_tune(first)
    assert any(t.any() for n, t in read_checkpoint(first.output).tensors.items() if "lora_B" in n)
    second = replace(first, output=tmp_path / "again.safetensors", model=first.output)
    _, trained = fine_tune(second, path=first.output)
    tensors = read_checkpoint(second.output).tensors
    ranks = {len(tensor) for name, tensor in tensors.items() if "lora_A" in name}
    assert ranks == {8}  # twice a rank of 4
    assert_same_embedding(build(second.output), trained)


def test_adapters_of_another_image_encoder_are_rejected(tmp_path):
    path = tmp_path / "other.safetensors"
    tensors = {
        "image_encoder.blocks.99.attn.qkv.lora_A": torch.zeros(2, 64),
        "image_encoder.blocks.99.attn.qkv.lora_B": torch.zeros(192, 2),
    }
    write_checkpoint(path, tensors, {"kind": "vrp-encoder", "sam": "vit_b"})
    with pytest.raises(InputError, match="of another image encoder"):
        build(path)


@pytest.mark.parametrize(
    ("parts", "pseudo_mask"),
    [
        ("decoder", "correlation"),
        pytest.param("lora", "probe", marks=pytest.mark.slow),
    ],
)
def test_training_in_mixed_precision(job_of, fine_tune, monkeypatch, parts, pseudo_mask):
    """As on a GPU: weights, probes and losses stay in single precision."""
    monkeypatch.setattr(full_size, "_mixed_precision", lambda _: torch.autocast("cpu"))
    monkeypatch.setattr(
        full_size, "_single_precision", lambda _: torch.autocast("cpu", enabled=False)
    )
    job = job_of(1, 2, steps=2, parts=parts, model="vit_b")
    events, trained = fine_tune(job, pseudo_mask=pseudo_mask)
    losses = [event.loss for event in events if isinstance(event, TrainingStep)]
    assert np.isfinite(losses).all()
    assert {p.dtype for p in trained.sam.mask_decoder.parameters()} == {torch.float32}
