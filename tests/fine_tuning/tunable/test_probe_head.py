"""Dense head beside a probe model: training on frozen features, and its weights file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.events import FineTuningResult
from napari_vrp_sam.fine_tuning.job import FineTuneJob
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.fine_tuning.run import fine_tune_events
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.outputs import predict_from_probabilities
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.models.backbones.model import ProbeModel
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint
from napari_vrp_sam.models.weights.downloads import CACHE_VARIABLE
from napari_vrp_sam.models.weights.hub import hub_folder
from napari_vrp_sam.models.zoo import user_models
from napari_vrp_sam.models.zoo.registry import list_models, load_model

JobOf = Callable[..., FineTuneJob]
NETWORKS = ("test_vit.r160_in1k", "test_resnet.r160_in1k")


@pytest.fixture(autouse=True)
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks of timm with random weights, where the Hub's client stores downloads."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    torch.manual_seed(0)
    for network in NETWORKS:
        folder = hub_folder() / f"models--timm--{network}"
        snapshot = folder / "snapshots" / ("a" * 40)
        snapshot.mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("a" * 40)
        state = timm.create_model(network).state_dict()
        save_file(state, snapshot / "model.safetensors")


@pytest.fixture
def small(recipe: FineTuningRecipe) -> FineTuningRecipe:
    """Recipe whose head learns the discs in a few steps."""
    return replace(recipe, head_rate=1e-2)


def fine_tune(job: FineTuneJob, recipe: FineTuningRecipe) -> FineTuningResult:
    result = list(fine_tune_events(job, Control(), recipe=recipe))[-1]
    assert isinstance(result, FineTuningResult)
    return result


@pytest.mark.parametrize("network", NETWORKS)
def test_head_is_trained_and_loaded_with_the_downloaded_backbone(
    network: str,
    job_of: JobOf,
    small: FineTuningRecipe,
    stack: NDArray[np.uint8],
    ground_truth: NDArray[np.uint8],
) -> None:
    job = job_of(1, 2, model=f"timm:{network}", steps=20)
    assert fine_tune(job, small).path == job.output

    file = read_checkpoint(job.output)
    assert all(name.startswith("dense.") for name in file.tensors)  # not the backbone
    model = load_model(job.output, device="cpu")
    assert isinstance(model, ProbeModel)
    assert model.head is not None
    assert model.head.class_ids == (1, 2)

    predictor = Predictor(model, device="cpu")
    predictor.set_references(job.references, Normalisation((0.0,), (255.0,)), effort=0.1)
    assert all(c.head_share > 0 for c in predictor.calibrations.values())
    found = predict_from_probabilities(predictor.predict(stack[3]), predictor.class_ids)
    assert (found.labels == ground_truth[3]).mean() > 0.9


def test_a_tuned_model_is_a_user_model_and_can_be_tuned_again(
    job_of: JobOf, small: FineTuningRecipe, tmp_path: Path
) -> None:
    first = fine_tune(job_of(model=f"timm:{NETWORKS[0]}", steps=2), small).path
    assert first is not None
    user_models.add(first, "discs")
    assert "discs" in [model.name for model in list_models()]
    second = job_of(model="discs", steps=2, output=tmp_path / "again.safetensors")
    assert fine_tune(second, small).path is not None
    assert load_model(second.output, device="cpu").name == f"timm:{NETWORKS[0]}"


@pytest.mark.parametrize("parts", ["decoder", "vrp-encoder", "lora"])
def test_other_parts_are_refused(job_of: JobOf, small: FineTuningRecipe, parts: str) -> None:
    job = job_of(model=f"timm:{NETWORKS[0]}", parts=parts)
    with pytest.raises(InputError, match="is a probe model, which has a dense head only"):
        fine_tune(job, small)


def test_a_file_without_its_head_is_refused(
    job_of: JobOf, small: FineTuningRecipe, tmp_path: Path
) -> None:
    job = job_of(model=f"timm:{NETWORKS[0]}", steps=2)
    fine_tune(job, small)
    file = read_checkpoint(job.output)
    damaged = tmp_path / "damaged.safetensors"
    metadata = {k: v for k, v in file.metadata.items() if k != "dense_classes"}
    save_file(dict(file.tensors), damaged, metadata)
    with pytest.raises(InputError, match=r"damaged\.safetensors is damaged"):
        load_model(damaged, device="cpu")
