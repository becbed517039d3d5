import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import DATA_VARIABLE, Dataset
from napari_vrp_sam.research.lite.training_sets import TrainingDataset

MakeDataset = Callable[..., Dataset]
MakeDisc = Callable[..., np.ndarray]


def test_datasets_reserved_for_evaluation_are_refused(
    make_dataset: MakeDataset, disc: MakeDisc
) -> None:
    reserved = make_dataset({"a": disc(30, 30), "b": disc(40, 40)}, name="held", use="evaluate")
    with pytest.raises(InputError, match=r"held is reserved for 'evaluate'"):
        TrainingDataset(reserved)


def test_a_copy_of_a_reserved_dataset_is_refused(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disc: MakeDisc
) -> None:
    reserved = make_dataset({"a": disc(30, 30), "b": disc(40, 40)}, name="held", use="evaluate")
    copy = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(reserved.root, copy)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match="reserved"):
        TrainingDataset(Dataset.open(copy))


def test_a_link_to_a_reserved_dataset_is_refused(
    make_dataset: MakeDataset, tmp_path: Path, disc: MakeDisc
) -> None:
    reserved = make_dataset({"a": disc(30, 30), "b": disc(40, 40)}, name="held", use="evaluate")
    (tmp_path / "mine").mkdir()
    link = tmp_path / "mine" / "harmless"
    link.symlink_to(reserved.root)
    with pytest.raises(InputError, match="reserved"):
        TrainingDataset(Dataset.open(link))


def test_each_class_is_a_task_with_the_frames_that_contain_it(discs: Dataset) -> None:
    (task,) = TrainingDataset(discs).tasks
    assert task.value == 1
    assert task.present == ("f0", "f1", "f2", "f3")
    assert task.absent == ("f4",)
    assert not task.ordered


def test_ignored_pixels_are_not_a_class(make_dataset: MakeDataset, disc: MakeDisc) -> None:
    masks = {"a": disc(30, 30), "b": disc(50, 50)}
    for mask in masks.values():
        mask[:, 80:] = 255
    data = TrainingDataset(make_dataset(masks))
    (task,) = data.tasks
    labels = data.labels("a", task)
    assert task.value == 1
    np.testing.assert_array_equal(labels == 255, masks["a"] == 255)
    np.testing.assert_array_equal(labels == 1, masks["a"] == 1)


def test_objects_of_unordered_images_form_one_class(
    make_dataset: MakeDataset, disc: MakeDisc
) -> None:
    masks = {
        name: (disc(20, 20, value=255) + disc(60, 60, value=3).astype(np.uint16)).astype(np.uint16)
        for name in "ab"
    }
    data = TrainingDataset(make_dataset(masks, kind="instance"))
    (task,) = data.tasks
    assert task.value is None
    assert not task.tracked
    np.testing.assert_array_equal(data.labels("a", task), masks["a"] > 0)


def test_each_object_of_a_stack_is_tracked(make_dataset: MakeDataset, disc: MakeDisc) -> None:
    masks = {
        f"z{z}": (disc(20 + z, 20, value=7) + disc(60, 60 + z, value=9)).astype(np.uint16)
        for z in range(3)
    }
    stack = make_dataset(masks, kind="instance", sequences={"s": sorted(masks)})
    tasks = TrainingDataset(stack).tasks
    assert [task.value for task in tasks] == [7, 9]
    assert all(task.tracked and task.ordered for task in tasks)
    np.testing.assert_array_equal(TrainingDataset(stack).labels("z1", tasks[1]), masks["z1"] == 9)
