from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from tests.few_shot_data import SCALE, scene, write_coco, write_pascal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.datasets.few_shot_folders import SingleFoldDataset
from napari_vrp_sam.research.datasets.few_shot_sets import FOLDS
from napari_vrp_sam.research.datasets.open import open_benchmark


@pytest.mark.parametrize("name", ["pascal5i", "coco20i"])
def test_folds_partition_the_classes(name, tmp_path):
    data = open_benchmark(name, tmp_path)
    all_classes = set(range(1, len(data.class_names) + 1))
    assert set().union(*(data.novel_classes(fold) for fold in range(FOLDS))) == all_classes
    for fold in range(FOLDS):
        assert len(data.novel_classes(fold)) == len(all_classes) / 4
        assert set(data.base_classes(fold)) == all_classes - set(data.novel_classes(fold))
    with pytest.raises(InputError, match="There is no fold 4"):
        data.novel_classes(4)


def test_folds_are_the_published_ones(tmp_path):
    pascal, coco = (open_benchmark(name, tmp_path) for name in ("pascal5i", "coco20i"))
    assert [pascal.class_names[c - 1] for c in pascal.novel_classes(3)] == [
        "pottedplant", "sheep", "sofa", "train", "tvmonitor",
    ]  # fmt: skip
    assert [coco.class_names[c - 1] for c in coco.novel_classes(1)[:4]] == [
        "bicycle", "bus", "traffic light", "bench",
    ]  # fmt: skip
    with pytest.raises(InputError, match="There is no benchmark 'voc'"):
        open_benchmark("voc", tmp_path)


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("place", [".", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_pascal_is_found_in_all_layouts(merged, place, tmp_path):
    data = open_benchmark("pascal5i", write_pascal(tmp_path, merged=merged) / place)
    test, train = data.image_ids("test"), data.image_ids("train")
    assert len(test) == 5
    assert len(train) == 4
    assert not set(test) & set(train)
    for split, image_id, number in (("train", train[1], 1), ("test", test[0], 4)):
        image, labels = scene(number)
        assert np.abs(data.image(split, image_id).astype(int) - image).mean() < 6
        for class_id in (1, 2, 7):
            mask = data.mask(split, image_id, class_id)
            np.testing.assert_array_equal(mask == 1, labels == class_id)
            np.testing.assert_array_equal(mask == 255, labels == 255)
    assert data.images_by_class("test") == {1: test, 2: test, 6: (test[1], test[3])}


def test_images_with_small_areas_of_a_class_are_not_listed(tmp_path):
    masks = write_pascal(tmp_path) / "VOCdevkit/VOC2012/SegmentationClassAug"
    data = open_benchmark("pascal5i", tmp_path)
    path = masks / f"{data.image_ids('train')[0]}.png"
    labels = np.array(Image.open(path))
    labels[100:140, 100:151], labels[150:182, 100:164] = 3, 4  # 2,040 and 2,048 pixels
    Image.fromarray(labels).save(path)
    assert (
        data.class_areas("train")[data.image_ids("train")[0]].items() >= {3: 2040, 4: 2048}.items()
    )
    assert data.images_by_class("train").keys() == {1, 2, 4, 6}
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match=r"\.png is damaged: unpack it again"):
        data.mask("train", data.image_ids("train")[0], 1)


def test_the_published_list_of_training_images_is_used(tmp_path):
    folder = write_pascal(tmp_path) / "VOCdevkit/VOC2012"
    all_classes = open_benchmark("pascal5i", tmp_path).image_ids("train")
    lines = [f"JPEGImages/{i}.jpg SegmentationClassAug/{i}.png\n" for i in all_classes[1:3]]
    file = folder / "ImageSets/Segmentation/voc_sbd_merge_noduplicate.txt"
    file.write_text("".join(lines) + "\n")
    assert open_benchmark("pascal5i", tmp_path).image_ids("train") == all_classes[1:3]


def test_coco_with_gaps_in_its_ids_and_crowds(tmp_path):
    data = open_benchmark("coco20i", write_coco(tmp_path))
    ids = data.image_ids("test")
    assert ids == ("0", "1", "2", "3", "4")
    assert data.images_by_class("train") == {1: ids, 5: ids}
    image, labels = scene(3)
    assert np.abs(data.image("test", "3").astype(int) - image).mean() < 6
    discs, boxes = data.mask("test", "3", 5), data.mask("test", "3", 1)
    np.testing.assert_array_equal(discs == 1, labels == 2)
    assert (discs[: 8 * SCALE] == 255).all()
    assert boxes[6 * SCALE : 28 * SCALE, 4 * SCALE : 30 * SCALE].all()
    assert boxes[40 * SCALE : 60 * SCALE, 40 * SCALE : 60 * SCALE].all()
    assert boxes.sum() == pytest.approx(SCALE**2 * (26 * 22 + 400), rel=0.05)


def test_the_classes_of_images_are_cached(tmp_path):
    root, cache = write_pascal(tmp_path / "data"), tmp_path / "cache"
    messages: list[str] = []
    found = open_benchmark("pascal5i", root, cache).images_by_class("test", messages.append)
    assert messages == ["Searching for classes: image 0 of 5"]
    again = open_benchmark("pascal5i", root, cache)
    assert again.images_by_class("test", messages.append) == found
    assert len(messages) == 1
    # The cache is not used for other data, or if it is damaged.
    listed = root / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"
    listed.write_text("".join(listed.read_text().splitlines(keepends=True)[:3]))
    assert (
        len(open_benchmark("pascal5i", root, cache).images_by_class("test", messages.append)[1])
        == 3
    )
    (cache / "pascal5i-test.json").write_text("{")
    assert (
        len(open_benchmark("pascal5i", root, cache).images_by_class("test", messages.append)[1])
        == 3
    )
    assert len(messages) == 3


def test_missing_files_are_reported_with_their_download(tmp_path):
    with pytest.raises(InputError, match=r"val.txt does not exist: download http"):
        open_benchmark("pascal5i", tmp_path).image_ids("test")
    with pytest.raises(InputError, match=r"instances_val2014.json does not exist: download"):
        open_benchmark("coco20i", tmp_path).image_ids("test")
    pascal = write_pascal(tmp_path / "pascal")
    data = open_benchmark("pascal5i", pascal)
    first = data.image_ids("test")[0]
    (pascal / f"VOCdevkit/VOC2012/JPEGImages/{first}.jpg").unlink()
    (pascal / f"VOCdevkit/VOC2012/SegmentationClassAug/{first}.png").unlink()
    with pytest.raises(InputError, match=r"jpg cannot be read: download"):
        data.image("test", first)
    with pytest.raises(InputError, match=r"mat has no mask: download"):
        data.mask("test", first, 1)
    coco = write_coco(tmp_path / "coco")
    (coco / "annotations/instances_val2014.json").write_text("[]")
    with pytest.raises(InputError, match="is not a COCO file of instances"):
        open_benchmark("coco20i", coco).image_ids("test")


def test_pascal_classes_that_training_on_coco_has_not_seen(tmp_path):
    """Compare with the published split of Boudiaf et al. and Min et al."""
    data = open_benchmark("pascal5i", tmp_path)
    published = (
        {"aeroplane", "boat", "chair", "diningtable", "dog", "person"},
        {"horse", "sofa", "bicycle", "bus"},
        {"bird", "car", "pottedplant", "sheep", "train", "tvmonitor"},
        {"bottle", "cow", "cat", "motorbike"},
    )
    for fold, names in enumerate(published):
        assert {data.class_names[c - 1] for c in data.unseen_classes("coco20i", fold)} == names
        assert data.unseen_classes("pascal5i", fold) == data.novel_classes(fold)
    with pytest.raises(InputError, match="coco20i and pascal5i cannot be compared"):
        open_benchmark("coco20i", tmp_path).unseen_classes("pascal5i", 0)


def test_any_dataset_as_few_shot_dataset(data_folder):
    plates = SingleFoldDataset(Dataset.open(data_folder / "plates"))
    assert plates.class_names == ("dim", "bright")
    assert plates.novel_classes(0) == (1, 2)
    assert plates.base_classes(0) == ()
    ids = plates.image_ids("test")
    assert ids == tuple(f"p{n}" for n in range(9))
    assert len(plates) == 9
    assert plates.image_ids("train") == ()
    assert {plates.image("test", image_id).shape[-1] for image_id in ids} == {3}
    labels = np.asarray(Image.open(data_folder / "plates/masks/p3.png"))
    mask = plates.mask("test", "p3", 2)
    np.testing.assert_array_equal(mask == 1, labels == 2)
    np.testing.assert_array_equal(mask == 255, labels == 255)
    for class_id, shown in plates.images_by_class("test").items():
        assert all((plates.mask("test", image_id, class_id) == 1).any() for image_id in shown)
    with pytest.raises(InputError, match="There is no fold 1 of plates: choose from 0"):
        plates.novel_classes(1)
    cells = SingleFoldDataset(Dataset.open(data_folder / "cells"))
    assert cells.images_by_class("test") == {1: tuple(f"z{n}" for n in range(5))}


def test_class_values_may_have_gaps(data_folder):
    meta = data_folder / "plates/meta.json"
    meta.write_text(json.dumps({"kind": "semantic", "classes": {"2": "bright", "7": "absent"}}))
    plates = SingleFoldDataset(Dataset.open(data_folder / "plates"))
    assert plates.class_names == ("bright", "absent")
    assert plates.images_by_class("test").keys() == {1}
