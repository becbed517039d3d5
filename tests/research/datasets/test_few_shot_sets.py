"""Pascal-5i and COCO-20i as they are unpacked."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from tests.few_shot_data import SCALE, scene, write_coco, write_pascal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.datasets.few_shot_folders import FolderSet
from napari_vrp_sam.research.datasets.few_shot_sets import FOLDS
from napari_vrp_sam.research.datasets.open import open_few_shot


@pytest.mark.parametrize("name", ["pascal5i", "coco20i"])
def test_folds_part_the_classes(name, tmp_path):
    data = open_few_shot(name, tmp_path)
    everything = set(range(1, len(data.class_names) + 1))
    assert set().union(*(data.novel(fold) for fold in range(FOLDS))) == everything
    for fold in range(FOLDS):
        assert len(data.novel(fold)) == len(everything) / 4
        assert set(data.base(fold)) == everything - set(data.novel(fold))
    with pytest.raises(InputError, match="There is no fold 4"):
        data.novel(4)


def test_folds_are_the_published_ones(tmp_path):
    pascal, coco = (open_few_shot(name, tmp_path) for name in ("pascal5i", "coco20i"))
    assert [pascal.class_names[c - 1] for c in pascal.novel(3)] == [
        "pottedplant", "sheep", "sofa", "train", "tvmonitor",
    ]  # fmt: skip
    assert [coco.class_names[c - 1] for c in coco.novel(1)[:4]] == [
        "bicycle", "bus", "traffic light", "bench",
    ]  # fmt: skip
    with pytest.raises(InputError, match="There is no benchmark 'voc'"):
        open_few_shot("voc", tmp_path)


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("place", [".", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_pascal_from_wherever_it_is_unpacked(merged, place, tmp_path):
    data = open_few_shot("pascal5i", write_pascal(tmp_path, merged=merged) / place)
    test, train = data.ids("test"), data.ids("train")
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
    assert data.showing("test") == {1: test, 2: test, 6: (test[1], test[3])}


def test_small_things_are_on_no_list(tmp_path):
    masks = write_pascal(tmp_path) / "VOCdevkit/VOC2012/SegmentationClassAug"
    data = open_few_shot("pascal5i", tmp_path)
    path = masks / f"{data.ids('train')[0]}.png"
    labels = np.array(Image.open(path))
    labels[100:140, 100:151], labels[150:182, 100:164] = 3, 4  # 2,040 and 2,048 pixels
    Image.fromarray(labels).save(path)
    assert data.areas("train")[data.ids("train")[0]].items() >= {3: 2040, 4: 2048}.items()
    assert data.showing("train").keys() == {1, 2, 4, 6}
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match=r"\.png is damaged: unpack it again"):
        data.mask("train", data.ids("train")[0], 1)


def test_the_published_list_of_images_to_learn_from(tmp_path):
    folder = write_pascal(tmp_path) / "VOCdevkit/VOC2012"
    everything = open_few_shot("pascal5i", tmp_path).ids("train")
    lines = [f"JPEGImages/{i}.jpg SegmentationClassAug/{i}.png\n" for i in everything[1:3]]
    file = folder / "ImageSets/Segmentation/voc_sbd_merge_noduplicate.txt"
    file.write_text("".join(lines) + "\n")
    assert open_few_shot("pascal5i", tmp_path).ids("train") == everything[1:3]


def test_coco_with_its_gaps_and_crowds(tmp_path):
    data = open_few_shot("coco20i", write_coco(tmp_path))
    ids = data.ids("test")
    assert ids == ("0", "1", "2", "3", "4")
    assert data.showing("train") == {1: ids, 5: ids}
    image, labels = scene(3)
    assert np.abs(data.image("test", "3").astype(int) - image).mean() < 6
    discs, boxes = data.mask("test", "3", 5), data.mask("test", "3", 1)
    np.testing.assert_array_equal(discs == 1, labels == 2)
    assert (discs[: 8 * SCALE] == 255).all()
    assert boxes[6 * SCALE : 28 * SCALE, 4 * SCALE : 30 * SCALE].all()
    assert boxes[40 * SCALE : 60 * SCALE, 40 * SCALE : 60 * SCALE].all()
    assert boxes.sum() == pytest.approx(SCALE**2 * (26 * 22 + 400), rel=0.05)


def test_what_is_on_which_image_is_kept(tmp_path):
    root, kept = write_pascal(tmp_path / "data"), tmp_path / "kept"
    told: list[str] = []
    found = open_few_shot("pascal5i", root, kept).showing("test", told.append)
    assert told == ["Looking for classes: image 0 of 5"]
    again = open_few_shot("pascal5i", root, kept)
    assert again.showing("test", told.append) == found
    assert len(told) == 1
    # Other data in the same place is looked through anew, and so is a damaged file.
    listed = root / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"
    listed.write_text("".join(listed.read_text().splitlines(keepends=True)[:3]))
    assert len(open_few_shot("pascal5i", root, kept).showing("test", told.append)[1]) == 3
    (kept / "pascal5i-test.json").write_text("{")
    assert len(open_few_shot("pascal5i", root, kept).showing("test", told.append)[1]) == 3
    assert len(told) == 3


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(InputError, match=r"val.txt is not there: get it from http"):
        open_few_shot("pascal5i", tmp_path).ids("test")
    with pytest.raises(InputError, match=r"instances_val2014.json is not there: get it from"):
        open_few_shot("coco20i", tmp_path).ids("test")
    pascal = write_pascal(tmp_path / "pascal")
    data = open_few_shot("pascal5i", pascal)
    first = data.ids("test")[0]
    (pascal / f"VOCdevkit/VOC2012/JPEGImages/{first}.jpg").unlink()
    (pascal / f"VOCdevkit/VOC2012/SegmentationClassAug/{first}.png").unlink()
    with pytest.raises(InputError, match=r"jpg cannot be read: get it from"):
        data.image("test", first)
    with pytest.raises(InputError, match=r"mat holds no mask: get it from"):
        data.mask("test", first, 1)
    coco = write_coco(tmp_path / "coco")
    (coco / "annotations/instances_val2014.json").write_text("[]")
    with pytest.raises(InputError, match="is no COCO file of instances"):
        open_few_shot("coco20i", coco).ids("test")


def test_pascal_classes_that_training_on_coco_has_not_seen(tmp_path):
    """The split of the domain shift, as Boudiaf et al. and Min et al. publish it."""
    data = open_few_shot("pascal5i", tmp_path)
    published = (
        {"aeroplane", "boat", "chair", "diningtable", "dog", "person"},
        {"horse", "sofa", "bicycle", "bus"},
        {"bird", "car", "pottedplant", "sheep", "train", "tvmonitor"},
        {"bottle", "cow", "cat", "motorbike"},
    )
    for fold, names in enumerate(published):
        assert {data.class_names[c - 1] for c in data.novel_to("coco20i", fold)} == names
        assert data.novel_to("pascal5i", fold) == data.novel(fold)
    with pytest.raises(InputError, match="What of coco20i is novel to pascal5i is not known"):
        open_few_shot("coco20i", tmp_path).novel_to("pascal5i", 0)


def test_a_folder_of_images_and_masks(data_folder):
    plates = FolderSet(Dataset.open(data_folder / "plates"))
    assert plates.class_names == ("dim", "bright")
    assert plates.novel(0) == (1, 2)
    assert plates.base(0) == ()
    ids = plates.ids("test")
    assert ids == tuple(f"p{n}" for n in range(9))
    assert len(plates) == 9
    assert plates.ids("train") == ()
    assert {plates.image("test", image_id).shape[-1] for image_id in ids} == {3}
    labels = np.asarray(Image.open(data_folder / "plates/masks/p3.png"))
    mask = plates.mask("test", "p3", 2)
    np.testing.assert_array_equal(mask == 1, labels == 2)
    np.testing.assert_array_equal(mask == 255, labels == 255)
    for class_id, shown in plates.showing("test").items():
        assert all((plates.mask("test", image_id, class_id) == 1).any() for image_id in shown)
    with pytest.raises(InputError, match="There is no fold 1: plates has 0 alone"):
        plates.novel(1)
    cells = FolderSet(Dataset.open(data_folder / "cells"))
    assert cells.showing("test") == {1: tuple(f"z{n}" for n in range(5))}


def test_class_values_with_gaps(data_folder):
    meta = data_folder / "plates/meta.json"
    meta.write_text(json.dumps({"kind": "semantic", "classes": {"2": "bright", "7": "absent"}}))
    plates = FolderSet(Dataset.open(data_folder / "plates"))
    assert plates.class_names == ("bright", "absent")
    assert plates.showing("test").keys() == {1}
