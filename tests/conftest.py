"""Fixtures that several parts of the tests share."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Before any window is opened: Triton, which it brings along, crashes once Mesa's OpenGL runs.
import torchvision  # noqa: F401
from hypothesis import HealthCheck, settings
from PIL import Image

from napari_vrp_sam.models.probe import ensemble
from napari_vrp_sam.research.datasets.dataset import Dataset

# Examples take as long as the machine is busy; fixtures are shared by the examples on purpose.
settings.register_profile(
    "few",
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile(
    "many", settings.get_profile("few"), max_examples=500, derandomize=False, print_blob=True
)
settings.load_profile("few")

_numbers = itertools.count()

LEARNING = {name: getattr(ensemble, name) for name in ("PERCEPTRON_STEPS", "PROBE_CELLS", "TREES")}
SLOW_MODULES = pytest.StashKey[frozenset[Path]]()

MakeDataset = Callable[..., Dataset]
MakeDisc = Callable[..., np.ndarray]


def _disks(rng: np.random.Generator, shape: tuple[int, int], count: int) -> np.ndarray:
    """Object ids 1..count of random disks."""
    rows, columns = np.indices(shape)
    ids = np.zeros(shape, np.uint16)
    for index in range(count):
        row, column = rng.uniform(8, shape[0] - 8), rng.uniform(8, shape[1] - 8)
        ids[np.hypot(rows - row, columns - column) < rng.uniform(5, 8)] = index + 1
    return ids


def pytest_collection_finish(session: pytest.Session) -> None:
    slow = (item.path for item in session.items if item.get_closest_marker("slow"))
    session.config.stash[SLOW_MODULES] = frozenset(slow)


@pytest.hookimpl(tryfirst=True)  # before the fixtures of the module
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fit probes with a sixth of the steps, cells and trees: enough for the objects of most tests.

    Everything else is as usual, including the cross-validation, which little effort would omit.
    Probes are fitted as those of users in other processes, in tests with the mark `full_learning`,
    and in modules of which slow tests are run.
    """
    full = item.get_closest_marker("full_learning") or item.path in item.config.stash[SLOW_MODULES]
    for name, value in LEARNING.items():
        setattr(ensemble, name, value if full else value // 6)


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
def user_models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the user's own models: one for each test, never that of whoever runs it."""
    # `mktemp` looks at the folders of all earlier tests, which takes milliseconds.
    folder = tmp_path_factory.getbasetemp() / f"data/{next(_numbers)}/models"
    folder.parent.mkdir(parents=True)
    monkeypatch.setenv("VRP_SAM_MODELS", str(folder))
    monkeypatch.setenv("VRP_SAM_UNFINISHED", str(folder.parent / "unfinished"))
    monkeypatch.setenv("VRP_SAM_SEGMENTERS", str(folder.parent / "segmenters.json"))
    monkeypatch.setenv("VRP_SAM_FEATURES", "0")
    return folder


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
