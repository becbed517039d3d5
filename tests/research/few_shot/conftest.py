"""Tiny datasets in the published layouts, and a full-size model small enough to train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.few_shot_data import write_coco, write_pascal
from tests.tiny_sam import build_tiny_sam

from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.vrp.semantic_encoders import EfficientNetLite0
from napari_vrp_sam.research.datasets.few_shot_sets import FewShotDataset
from napari_vrp_sam.research.datasets.open import open_benchmark
from napari_vrp_sam.research.few_shot.recipe import Recipe
from napari_vrp_sam.research.few_shot.train import train_few_shot

SEMANTIC = "efficientnet_lite0"


@pytest.fixture(scope="session")
def pascal(tmp_path_factory: pytest.TempPathFactory) -> FewShotDataset:
    """32 training images with classes 1 and 2; half of them also with class 6 of fold 1."""
    folder = tmp_path_factory.mktemp("pascal")
    return open_benchmark("pascal5i", write_pascal(folder, train=32, test=4))


@pytest.fixture(scope="session")
def coco(tmp_path_factory: pytest.TempPathFactory) -> FewShotDataset:
    """Images with classes 1 and 5, both of fold 0."""
    return open_benchmark("coco20i", write_coco(tmp_path_factory.mktemp("coco")))


@pytest.fixture(scope="session")
def build() -> Callable[[], FullSizeModel]:
    """Function that builds a model with the same weights each time."""

    def model() -> FullSizeModel:
        torch.manual_seed(0)
        return FullSizeModel(
            "vit_b", build_tiny_sam(), EfficientNetLite0(), semantic_side=96,
            pseudo_mask="correlation",
        ).eval()  # fmt: skip

    return model


@pytest.fixture(scope="session")
def embeddings_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cache of SAM's embeddings, shared by all tests."""
    return tmp_path_factory.mktemp("embeddings")


@pytest.fixture
def train(build: Callable[[], FullSizeModel], embeddings_folder: Path) -> Callable[..., Path]:
    """Function that runs a short training."""

    def run(output: Path, data: FewShotDataset, fold: int = 1, **changes: Any) -> Path:
        small = {"epochs": 2, "batch_size": 2, "queries": 6, "learning_rate": 2e-3}
        recipe = Recipe.published(data.name, **{**small, **changes.pop("recipe", {})})
        options = {"device": "cpu", "workers": 0, "checkpoint_every": 2, **changes}
        return train_few_shot(
            output, data, fold, build(), SEMANTIC, recipe, cache_folder=embeddings_folder, **options
        )

    return run
