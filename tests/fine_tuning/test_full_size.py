"""Full-size models, with a tiny SAM of the same classes in their place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.tiny_sam import build_tiny_sam

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning import run
from napari_vrp_sam.fine_tuning.events import FineTuningResult, TrainingStep, Validation
from napari_vrp_sam.fine_tuning.tunable import full_size as full_size_subject
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.models.probe.ensemble import fit_linear_probe
from napari_vrp_sam.models.sam.files import load_tuned_weights, read_vrp_encoder
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.vrp.semantic_encoders import EfficientNetLite0
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint, write_checkpoint


def build(path=None, *, vrp=True, pseudo_mask="correlation"):
    """A tiny full-size model; of a file, what the file says of it."""
    sam = build_tiny_sam()
    torch.manual_seed(2)
    semantic = EfficientNetLite0()
    encoder = VRPEncoder(152, 64, queries=6) if vrp else None
    additions = {}
    if path is not None:
        checkpoint = read_checkpoint(path)
        encoder = read_vrp_encoder(checkpoint, source=str(path))
        additions = load_tuned_weights(sam, checkpoint, source=str(path))
    model = FullSizeModel(
        "vit_b", sam, semantic, encoder, semantic_side=128, pseudo_mask=pseudo_mask
    )
    model.additions = additions
    return model.eval()


@pytest.fixture
def recipe(recipe):
    return replace(recipe, full_size_crop=64, pool=4, batch_size=1)


@pytest.fixture
def fine_tune(monkeypatch, recipe):
    """Runs a job on such a model; the events and the models that were trained."""

    def fine_tune(job, **options):
        models = []

        def load(*args, **kwargs):
            models.append(build(**options))
            return models[-1]

        monkeypatch.setattr(run, "load_model", load)
        job.check()
        return list(run.fine_tune_events(job, Control(), recipe=recipe)), models

    return fine_tune


def images():
    return torch.rand(1, 3, 72, 80, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pseudo_mask", ["correlation", "probe"])
@pytest.mark.parametrize("parts", ["vrp-encoder", "decoder", "lora"])
def test_a_part_learns_and_the_file_holds_it(
    job_of, fine_tune, rising, parts, pseudo_mask, monkeypatch
):
    monkeypatch.setattr(
        "napari_vrp_sam.models.sam.probe.fit_ensemble",
        lambda shots, recipe, *_: fit_linear_probe(shots, recipe),
    )
    job = job_of(1, 2, steps=4, parts=parts, model="vit_b")
    events, (trained,) = fine_tune(job, pseudo_mask=pseudo_mask)
    assert isinstance(events[-1], FineTuningResult)
    assert events[-1].path == job.output
    steps = [event for event in events if isinstance(event, TrainingStep)]
    assert all(np.isfinite(step.loss) for step in steps)

    card = read_checkpoint(job.output).metadata
    assert (card["kind"], card["sam"]) == ("vrp-encoder", "vit_b")
    assert card["semantic_encoder"] == "efficientnet_lite0"
    base, read = build(), build(job.output)
    for name, tensor in trained.vrp_encoder.state_dict().items():
        assert torch.equal(tensor, read.vrp_encoder.state_dict()[name])
    changed = {
        name.partition(".")[0]
        for name, tensor in base.sam.state_dict().items()
        if not torch.equal(tensor, read.sam.state_dict()[name])
    }
    expected = {
        "vrp-encoder": set(),
        "decoder": {"mask_decoder"},
        "lora": {"mask_decoder", "image_encoder"},
    }
    assert changed == expected[parts]
    before = build().vrp_encoder.generator.queries
    assert not torch.equal(before, read.vrp_encoder.generator.queries)
    with torch.no_grad():
        torch.testing.assert_close(
            read.encode(images()).embedding,
            trained.encode(images()).embedding,
            atol=1e-4,
            rtol=1e-3,
        )


def test_without_learning_nothing_changes(job_of, fine_tune, recipe, monkeypatch):
    still = replace(recipe, learning_rate=0.0, lora_rate=0.0, weight_decay=0.0)
    whole = run.fine_tune_events
    monkeypatch.setattr(
        run, "fine_tune_events", lambda job, control, _=None: whole(job, control, recipe=still)
    )
    job = job_of(1, 2, steps=2, parts="lora", model="vit_b")
    events, _ = fine_tune(job)
    ious = [event.iou for event in events if isinstance(event, Validation)]
    assert len(ious) == 3
    assert max(ious) - min(ious) < 1e-6


def test_where_the_image_encoder_stays_frames_are_encoded_once(job_of, fine_tune, monkeypatch):
    encoded = []
    whole = FullSizeModel.features
    monkeypatch.setattr(
        FullSizeModel, "features", lambda self, f: encoded.append(len(f)) or whole(self, f)
    )
    short = job_of(1, 2, steps=30, model="vit_b")
    fine_tune(short)
    # Two frames, which are the ones that are held out too, and a pool of 4 + 1 episodes for each
    # of two folds, of two frames each.
    assert sum(encoded) <= 2 + 2 * 5 * 2


def test_a_mask_decoder_learns_without_a_vrp_encoder(job_of, fine_tune):
    job = job_of(1, 2, steps=2, model="vit_b")
    events, _ = fine_tune(job, vrp=False)
    assert events[-1].path == job.output
    assert build(job.output).vrp_encoder is None


def test_what_is_not_there_cannot_learn(job_of, fine_tune):
    with pytest.raises(InputError, match="has no VRP encoder: choose the parts 'decoder'"):
        fine_tune(job_of(parts="vrp-encoder", model="vit_b"), vrp=False)


def test_lora_names_its_package(job_of, fine_tune, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(InputError, match=r"pip install 'napari-vrp-sam\[lora\]'"):
        fine_tune(job_of(parts="lora", model="vit_b"))


def test_tuned_twice_both_changes_count(job_of, fine_tune, rising, tmp_path):
    first = job_of(1, 2, steps=2, parts="lora", model="vit_b")
    fine_tune(first)
    assert any(t.any() for n, t in read_checkpoint(first.output).tensors.items() if "lora_B" in n)
    second = replace(first, output=tmp_path / "again.safetensors", model=first.output)
    _, (trained,) = fine_tune(second, path=first.output)
    additions = {n: t for n, t in read_checkpoint(second.output).tensors.items() if "lora_A" in n}
    assert {len(tensor) for tensor in additions.values()} == {8}  # twice a rank of 4
    with torch.no_grad():
        torch.testing.assert_close(
            build(second.output).encode(images()).embedding,
            trained.encode(images()).embedding,
            atol=1e-4,
            rtol=1e-3,
        )


def test_changes_of_another_image_encoder_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    tensors = {
        "image_encoder.blocks.99.attn.qkv.lora_A": torch.zeros(2, 64),
        "image_encoder.blocks.99.attn.qkv.lora_B": torch.zeros(192, 2),
    }
    write_checkpoint(path, tensors, {"kind": "vrp-encoder", "sam": "vit_b"})
    with pytest.raises(InputError, match="changes of another image encoder"):
        build(path)


def test_half_precision_where_it_is_safe(job_of, fine_tune, monkeypatch):
    """As on a GPU: probes and losses stay exact, whatever the layers compute with."""
    monkeypatch.setattr(
        full_size_subject, "_mixed", lambda _: torch.autocast("cpu", torch.bfloat16)
    )
    monkeypatch.setattr(full_size_subject, "_exact", lambda _: torch.autocast("cpu", enabled=False))
    for parts, pseudo_mask in (("decoder", "correlation"), ("lora", "probe")):
        job = job_of(1, 2, steps=2, parts=parts, model="vit_b")
        events, (trained,) = fine_tune(job, pseudo_mask=pseudo_mask)
        losses = [event.loss for event in events if isinstance(event, TrainingStep)]
        assert np.isfinite(losses).all()
        assert {p.dtype for p in trained.sam.mask_decoder.parameters()} == {torch.float32}
        job.output.unlink()
