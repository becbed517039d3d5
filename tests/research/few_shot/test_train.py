"""Complete training runs on tiny datasets, and evaluation of the weights."""

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
from napari_vrp_sam.research.protocols.few_shot import evaluate_methods, sample_episodes
from napari_vrp_sam.research.protocols.model_method import few_shot_method
from napari_vrp_sam.research.resuming import LAST_CHECKPOINT


def tensors(path):
    return read_checkpoint(path).tensors


def same(one, other):
    a, b = tensors(one), tensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def losses(monkeypatch):
    """Record the loss of each step, and optionally fail before one of them."""
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


def mean_iou_by_pixel(model, data, fold, count):
    """Compute the mIoU pixel by pixel, independently of `evaluate_methods`."""
    segment = few_shot_method(model, "cpu")
    counts = {}
    for episode in sample_episodes(data, fold, count=count):
        [image_id] = episode.references
        mask = data.mask("test", image_id, episode.class_id)
        reference = Reference(data.image("test", image_id), mask == 1, 1, ignored=mask == 255)
        found = segment(data.image("test", episode.target), [reference])
        expected = data.mask("test", episode.target, episode.class_id)
        overlap, union = counts.setdefault(episode.class_id, [0, 0])
        for row in range(found.shape[0]):
            for column in range(found.shape[1]):
                if expected[row, column] != 255:
                    overlap += bool(found[row, column]) and expected[row, column] == 1
                    union += bool(found[row, column]) or expected[row, column] == 1
        counts[episode.class_id] = [overlap, union]
    return np.mean([overlap / union for overlap, union in counts.values()])


@pytest.mark.parametrize("name", ["pascal", "coco"])
def test_training_and_evaluation_from_start_to_end(name, request, tmp_path, train, build, losses):
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
    metadata = checkpoint.metadata
    assert metadata["kind"] == "vrp-encoder"
    assert metadata["pseudo_mask"] == "correlation"
    assert (metadata["sam"], metadata["semantic_encoder"]) == ("vit_b", "efficientnet_lite0")
    assert (metadata["data"], metadata["fold"], metadata["queries"]) == (data.name, "1", "6")
    assert json.loads(metadata["training"])["loss"] == "both"
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
    method = few_shot_method(model, "cpu")
    # Fold 0 contains the classes of the images.
    scores = evaluate_methods(data, 0, {"": method}, count=6)[""]
    assert scores.mean_iou == pytest.approx(mean_iou_by_pixel(model, data, 0, 6))
    assert scores.mean_iou > 0


def test_a_resumed_run_results_in_the_same_weights(tmp_path, pascal, train, losses):
    whole = train(tmp_path / "whole.safetensors", pascal)
    broken = tmp_path / "broken.safetensors"
    before = losses(stop=7)
    with pytest.raises(RuntimeError):
        train(broken, pascal)
    assert sorted(before) == list(range(7))
    assert not broken.exists()
    after = losses()
    train(broken, pascal)
    assert sorted(after) == list(range(6, 16))  # from the last checkpoint
    assert same(broken, whole)
    broken.unlink()
    finished = losses()
    train(broken, pascal)
    assert finished == {}
    assert same(broken, whole)
    with pytest.raises(InputError, match="different fold and queries"):
        train(broken, pascal, fold=2, recipe={"queries": 7})
    # SAM is not part of the checkpoint.
    saved = torch.load(
        tmp_path / f"broken.safetensors.training/{LAST_CHECKPOINT}", weights_only=True
    )
    assert all(name.startswith("vrp_encoder.") for name in saved["state_dict"])


@pytest.mark.parametrize("initialisation", ["foreground", "background", "half"])
def test_the_file_contains_the_initialisation_of_the_queries(
    tmp_path, pascal, train, initialisation
):
    changes = {"initialisation": initialisation, "epochs": 1, "batch_size": 16, "loss": "dice"}
    path = train(tmp_path / "own.safetensors", pascal, recipe=changes, precision="bf16")
    read = VRPEncoder.from_checkpoint(read_checkpoint(path), source="own")
    assert read.initialisation == initialisation
    assert read.config["queries"] == 6
    assert "generator.queries" not in tensors(path)


def test_published_recipes_and_invalid_changes():
    pascal, coco = (Recipe.published(name) for name in ("pascal5i", "coco20i"))
    assert (pascal.epochs, pascal.learning_rate, pascal.batch_size) == (100, 2e-4, 8)
    assert (coco.epochs, coco.learning_rate, coco.queries) == (50, 1e-4, 50)
    with pytest.raises(InputError, match="batch size must be 1 or more"):
        Recipe.published("pascal5i", batch_size=0)
    with pytest.raises(InputError, match="learning rate must be above 0"):
        Recipe.published("pascal5i", learning_rate=0)
