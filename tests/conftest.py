"""Fixtures that several parts of the tests share."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

# Before any window is opened: Triton, which it brings along, crashes once Mesa's OpenGL runs.
import torchvision  # noqa: F401
from PIL import Image


def _disks(rng: np.random.Generator, shape: tuple[int, int], count: int) -> np.ndarray:
    """Object ids 1..count of random disks."""
    rows, columns = np.indices(shape)
    ids = np.zeros(shape, np.uint16)
    for index in range(count):
        row, column = rng.uniform(8, shape[0] - 8), rng.uniform(8, shape[1] - 8)
        ids[np.hypot(rows - row, columns - column) < rng.uniform(5, 8)] = index + 1
    return ids


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """A collection of two small data sets in the layout of VRP_SAM_DATA.

    `plates` (evaluate): unordered images of two classes and differing sizes, some of them RGB;
    `cells` (train): a sequence of instance masks with more than 255 as an id.
    """
    rng = np.random.default_rng(0)
    root = tmp_path / "collection"
    for name in ("plates", "cells"):
        (root / name / "images").mkdir(parents=True)
        (root / name / "masks").mkdir()

    for index in range(9):
        shape = (48, 64) if index % 2 else (56, 56)
        ids = _disks(rng, shape, 6)
        classes = np.where(ids > 3, 2, (ids > 0).astype(np.uint8)).astype(np.uint8)
        classes[0] = 255
        image = (40 + 80 * (classes == 1) + 160 * (classes == 2)).astype(np.uint8)
        image += rng.integers(0, 30, shape, dtype=np.uint8)
        picture = np.stack([image] * 3, axis=-1) if index % 3 == 0 else image
        Image.fromarray(picture).save(root / f"plates/images/p{index}.png")
        Image.fromarray(classes).save(root / f"plates/masks/p{index}.png")
    (root / "plates/meta.json").write_text(
        json.dumps({"kind": "semantic", "classes": {"1": "dim", "2": "bright"}, "title": "Plates"})
    )

    for index in range(5):
        ids = _disks(rng, (48, 48), 5)
        ids[ids == 5] = 255
        ids[ids == 4] = 300
        image = (60 + 120 * (ids > 0)).astype(np.uint8)
        Image.fromarray(image).save(root / f"cells/images/z{index}.jpg")
        Image.fromarray(ids).save(root / f"cells/masks/z{index}.png")
    (root / "cells/meta.json").write_text(
        json.dumps(
            {
                "kind": "instance",
                "classes": {"1": "cell"},
                "sequences": {"down": [f"z{index}" for index in reversed(range(5))]},
            }
        )
    )
    (root / "index.json").write_text(
        json.dumps([{"name": "plates", "use": "evaluate"}, {"name": "cells", "use": "train"}])
    )
    return root


@pytest.fixture(autouse=True)
def own_models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the user's own models: one for each test, never that of whoever runs it."""
    folder = tmp_path_factory.mktemp("data") / "models"
    monkeypatch.setenv("VRP_SAM_MODELS", str(folder))
    monkeypatch.setenv("VRP_SAM_FEATURES", "0")
    return folder
