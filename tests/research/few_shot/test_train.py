"""Whole runs on tiny data of both layouts, from the images to the measured file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint
from napari_vrp_sam.research.few_shot.module import VRPModule
from napari_vrp_sam.research.few_shot.recipe import Recipe
from napari_vrp_sam.research.protocols.few_shot import evaluate_fold, pairs
from napari_vrp_sam.research.protocols.model_method import one_image_method
from napari_vrp_sam.research.resuming import LAST


def tensors(path):
    return read_checkpoint(path).tensors


def same(one, other):
    a, b = tensors(one), tensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def losses(monkeypatch):
    """Of each step that is trained; the run fails before one of them."""
    original = VRPModule.training_step

    def watch(stop=None):
        seen = {}

        def step(module, batch, index=0):
            if batch["step"] == stop:
                raise RuntimeError
            loss = original(module, batch, index)
            seen[batch["step"]] = float(loss.detach())
            return loss

        monkeypatch.setattr(VRPModule, "training_step", step)
        return seen

    return watch


def slowly(model, data, fold, count):
    """mIoU pixel by pixel, over episodes that are put together here."""
    segment = one_image_method(model, "cpu")
    counts = {}
    for pair in pairs(data, fold, count=count):
        [image_id] = pair.references
        truth = data.mask("test", image_id, pair.class_id)
        reference = Reference(data.image("test", image_id), truth == 1, 1, ignored=truth == 255)
        found = segment(data.image("test", pair.target), [reference])
        wanted = data.mask("test", pair.target, pair.class_id)
        overlap, union = counts.setdefault(pair.class_id, [0, 0])
        for row in range(found.shape[0]):
            for column in range(found.shape[1]):
                if wanted[row, column] != 255:
                    overlap += bool(found[row, column]) and wanted[row, column] == 1
                    union += bool(found[row, column]) or wanted[row, column] == 1
        counts[pair.class_id] = [overlap, union]
    return np.mean([overlap / union for overlap, union in counts.values()])


@pytest.mark.parametrize("name", ["pascal", "coco"])
def test_from_images_to_a_measured_file(name, request, tmp_path, train, build, losses):
    data = request.getfixturevalue(name)
    seen = losses()
    path = train(tmp_path / "own.safetensors", data)
    steps = sorted(seen)
    assert steps == list(range(len(steps)))
    quarter = len(steps) // 4
    assert np.mean([seen[s] for s in steps[-quarter:]]) < np.mean(
        [seen[s] for s in steps[:quarter]]
    )

    checkpoint = read_checkpoint(path)
    told = checkpoint.metadata
    assert told["kind"] == "vrp-encoder"
    assert told["pseudo_mask"] == "correlation"
    assert (told["sam"], told["semantic_encoder"]) == ("vit_b", "efficientnet_lite0")
    assert (told["data"], told["fold"], told["queries"]) == (data.name, "1", "6")
    assert json.loads(told["training"])["loss"] == "both"
    assert (path.with_name(path.name + ".training") / "tensorboard").is_dir()

    untrained = build()
    model = FullSizeModel(
        "vit_b",
        untrained.sam,
        untrained.semantic,
        VRPEncoder.from_checkpoint(checkpoint, source="own"),
        semantic_side=96,
        pseudo_mask="correlation",
    ).eval()
    method = one_image_method(model, "cpu")
    # Of fold 0 are the classes that are on the images.
    scores = evaluate_fold(data, 0, method, count=6)
    assert scores.mean_iou == pytest.approx(slowly(model, data, 0, 6))
    assert scores.mean_iou > 0


def test_a_run_that_was_broken_off_ends_with_the_same_weights(tmp_path, pascal, train, losses):
    whole = train(tmp_path / "whole.safetensors", pascal)
    broken = tmp_path / "broken.safetensors"
    before = losses(stop=7)
    with pytest.raises(RuntimeError):
        train(broken, pascal)
    assert sorted(before) == list(range(7))
    assert not broken.exists()
    after = losses()
    train(broken, pascal)
    assert sorted(after) == list(range(6, 16))  # from the last checkpoint on
    assert same(broken, whole)
    broken.unlink()
    finished = losses()
    train(broken, pascal)
    assert finished == {}
    assert same(broken, whole)
    with pytest.raises(InputError, match="another fold and queries"):
        train(broken, pascal, fold=2, recipe={"queries": 7})
    # SAM does not come along.
    kept = torch.load(tmp_path / f"broken.safetensors.training/{LAST}", weights_only=True)
    assert all(name.startswith("vrp_encoder.") for name in kept["state_dict"])


@pytest.mark.parametrize("initialisation", ["foreground", "background", "half"])
def test_what_queries_begin_as_is_in_the_file(tmp_path, pascal, train, initialisation):
    changes = {"initialisation": initialisation, "epochs": 1, "batch_size": 16, "loss": "dice"}
    path = train(tmp_path / "own.safetensors", pascal, recipe=changes, precision="bf16")
    read = VRPEncoder.from_checkpoint(read_checkpoint(path), source="own")
    assert read.initialisation == initialisation
    assert read.config["queries"] == 6
    assert "generator.queries" not in tensors(path)


def test_published_recipes_and_mistakes():
    pascal, coco = (Recipe.published(name) for name in ("pascal5i", "coco20i"))
    assert (pascal.epochs, pascal.learning_rate, pascal.batch_size) == (100, 2e-4, 8)
    assert (coco.epochs, coco.learning_rate, coco.queries) == (50, 1e-4, 50)
    with pytest.raises(InputError, match="needs batch size from 1 on"):
        Recipe.published("pascal5i", batch_size=0)
    with pytest.raises(InputError, match="learning rate of 0"):
        Recipe.published("pascal5i", learning_rate=0)
