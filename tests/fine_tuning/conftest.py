"""Small network, stack and recipe, with which a fine-tuning takes seconds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import references_from_labels
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.fine_tuning.job import FineTuneJob
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.fine_tuning.tunable.base import FoldEvaluation
from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.lite.parts import LiteConfig
from napari_vrp_sam.training.lite_file import save

SMALL = FineTuningRecipe(
    batch_size=2,
    size=64,
    head_crop=64,
    validations=3,
    warm_up=2,
    gain=-1.0,
    checkpoint_seconds=1000.0,
    exam_effort=0.02,
    exam_choices=False,
)
"""Saves every result, but checkpoints only at the end and when cancelled."""


@pytest.fixture
def recipe() -> FineTuningRecipe:
    return SMALL


@pytest.fixture
def rising(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each validation be better than the one before, so that the last weights are saved."""
    ious = itertools.count()
    monkeypatch.setattr(FoldEvaluation, "iou", lambda _: 0.001 * next(ious))


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of an untrained `lite`."""
    path = tmp_path_factory.mktemp("base") / "tiny.safetensors"
    torch.manual_seed(0)
    config = LiteConfig(dim=32, queries=4, heads=2, decoder_depth=1, decoder_mlp=64)
    save(path, LiteNetwork(config), {})
    return path


@pytest.fixture(scope="session")
def ground_truth() -> NDArray[np.uint8]:
    """Two classes of discs that move over four frames, shape (Z, Y, X)."""
    labels = np.zeros((4, 72, 80), np.uint8)
    rows, columns = np.indices((72, 80))
    for z in range(4):
        for row, column, value in ((20, 20, 1), (50, 22, 1), (20, 56, 2), (52, 58, 2)):
            labels[z][np.hypot(rows - row - z, columns - column + z) < 9] = value
    return labels


@pytest.fixture(scope="session")
def stack(ground_truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Noisy image of the discs, one intensity per class."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 40, ground_truth.shape, dtype=np.uint8)
    return noise + np.array([40, 120, 180], np.uint8)[ground_truth]


@pytest.fixture
def job_of(
    base: Path, stack: NDArray[np.uint8], ground_truth: NDArray[np.uint8], tmp_path: Path
) -> Callable[..., FineTuneJob]:
    """Make a job with annotations on the given frames; default: frame 1."""

    def make(*frames: int, **options: Any) -> FineTuneJob:
        references: list[Reference] = []
        for frame in frames or (1,):
            references += references_from_labels(ground_truth[frame], stack[frame], frame=frame)
        job = {
            "references": references,
            "output": tmp_path / "own.safetensors",
            "axes": "ZYX",
            "model": base,
            "steps": 6,
            "device": "cpu",
        }
        return FineTuneJob(stack, **{**job, **options})

    return make
