"""Small data sets in the layout that `Dataset` reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_vrp_sam.io.datasets import Dataset

MakeDataset = Callable[..., Dataset]
MakeDisc = Callable[..., np.ndarray]


@pytest.fixture
def make_dataset(tmp_path: Path) -> MakeDataset:
    """Write images and masks as a data set, listed with its use in the index beside it."""

    def make(
        masks: dict[str, np.ndarray], *, name: str = "discs", use: str = "train", **meta: Any
    ) -> Dataset:
        root = tmp_path / name
        for part in ("images", "masks"):
            (root / part).mkdir(parents=True)
        noise = np.random.default_rng(0)
        for item, mask in masks.items():
            image = np.where(mask > 0, 180, 60) + noise.integers(0, 40, mask.shape)
            Image.fromarray(image.astype(np.uint8)).save(root / "images" / f"{item}.png")
            Image.fromarray(mask).save(root / "masks" / f"{item}.png")
        description = {"name": name, "title": name, "kind": "semantic", "classes": {"1": "disc"}}
        (root / "meta.json").write_text(json.dumps(description | meta))
        index = tmp_path / "index.json"
        entries = json.loads(index.read_text()) if index.exists() else []
        index.write_text(json.dumps([*entries, {"name": name, "use": use}]))
        return Dataset.open(root)

    return make


@pytest.fixture
def disc() -> MakeDisc:
    """Mask of a frame with one disc."""

    def make(row: int, column: int, radius: int = 14, value: int = 1, size: int = 96) -> np.ndarray:
        rows, columns = np.mgrid[:size, :size]
        inside = np.hypot(rows - row, columns - column) < radius
        return (inside * value).astype(np.uint8)

    return make


@pytest.fixture
def discs(make_dataset: MakeDataset, disc: MakeDisc) -> Dataset:
    """Four frames with a disc, and one without."""
    masks = {f"f{i}": disc(30 + 10 * i, 60 - 8 * i) for i in range(4)}
    return make_dataset({**masks, "f4": np.zeros((96, 96), np.uint8)})
