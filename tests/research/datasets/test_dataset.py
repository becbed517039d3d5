from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.datasets.open import find_datasets


def test_images_and_labels(data_folder: Path) -> None:
    plates = Dataset.open(data_folder / "plates")
    assert plates.title == "Plates"
    assert plates.classes == {1: "dim", 2: "bright"}
    assert len(plates.ids) == 9
    assert plates.image("p0").shape == (56, 56, 3)
    assert plates.image("p1").shape == (48, 64, 1)
    assert set(np.unique(plates.labels("p1"))) == {0, 1, 2, 255}


def test_all_objects_form_one_class_and_255_is_an_object(data_folder: Path) -> None:
    cells = Dataset.open(data_folder / "cells")
    mask, labels = cells.mask("z0"), cells.labels("z0")
    assert {255, 300} <= set(np.unique(mask))
    np.testing.assert_array_equal(labels, mask > 0)
    assert labels.dtype == np.uint8


def test_groups(data_folder: Path) -> None:
    cells = Dataset.open(data_folder / "cells")
    assert cells.groups() == {"down": ("z4", "z3", "z2", "z1", "z0")}
    plates = Dataset.open(data_folder / "plates")
    groups = plates.groups()
    assert [len(set(ids)) for ids in groups.values()] == [7, 7, 7]
    assert groups == plates.groups(seed=0)
    assert groups != plates.groups(seed=1)
    assert [len(ids) for ids in plates.groups(count=1, size=20).values()] == [9]


def test_datasets_are_found_by_name_use_and_folder(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VRP_SAM_DATA", str(data_folder))
    assert [d.name for d in find_datasets(["cells", "evaluate"])] == ["cells", "plates"]
    assert [d.name for d in find_datasets(["train", data_folder / "cells"])] == ["cells"]


@pytest.mark.parametrize("argument", ["unknown", "test"])
def test_an_unknown_name_is_reported(data_folder: Path, argument: str) -> None:
    with pytest.raises(InputError, match="available: evaluate, train, cells, plates"):
        find_datasets([argument], data_folder)


def test_a_missing_collection_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VRP_SAM_DATA", raising=False)
    with pytest.raises(InputError, match="VRP_SAM_DATA"):
        find_datasets(["evaluate"])


def test_damaged_datasets_are_reported(data_folder: Path) -> None:
    with pytest.raises(InputError, match=r"no meta\.json"):
        Dataset.open(data_folder)
    meta = data_folder / "cells/meta.json"
    good = json.loads(meta.read_text())
    for damage, message in [
        ("{", "cannot be read"),
        (json.dumps({"kind": "semantic"}), "classes"),
        (json.dumps(good | {"kind": "boxes"}), "use 'semantic' or 'instance'"),
        (json.dumps(good | {"sequences": {"up": ["z0", "z9"]}}), "'z9' has no image"),
    ]:
        meta.write_text(damage)
        with pytest.raises(InputError, match=message):
            Dataset.open(meta.parent)


def test_a_damaged_image_is_reported(data_folder: Path) -> None:
    (data_folder / "cells/images/z0.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"z0\.jpg cannot be read"):
        Dataset.open(data_folder / "cells").image("z0")
