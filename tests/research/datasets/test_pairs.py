from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools import mask as coco

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.coco import open_coco
from napari_vrp_sam.research.datasets.open import find_datasets
from napari_vrp_sam.research.datasets.pairs import open_pairs


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, array)
    else:
        Image.fromarray(array).save(path)


def square(value: int = 1, dtype: Any = np.uint8, size: int = 40) -> np.ndarray:
    mask = np.zeros((size, size), dtype)
    mask[10:30, 5:25] = value
    return mask


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/{}.png", "masks/{}.png"),
        ("images/{}.jpg", "labels/{}.tif"),
        ("image/{}.tif", "mask/{}_mask.png"),
        ("{}.png", "{}_mask.png"),
        ("{}.tif", "{}_label.tif"),
    ],
)
def test_layouts(tmp_path: Path, image: str, mask: str) -> None:
    for name in ("b", "a"):
        save(tmp_path / image.format(name), square(200))
        save(tmp_path / mask.format(name), square())
    (dataset,) = find_datasets([tmp_path])
    assert dataset.ids == ("a", "b")
    assert dataset.name == tmp_path.name
    assert dataset.image("a").shape == (40, 40, 1)
    np.testing.assert_array_equal(dataset.labels("a"), square())


def test_meaning_of_mask_values(tmp_path: Path) -> None:
    for name, mask in {
        "binary": square(255),
        "classes": np.maximum(square(3), np.eye(40, dtype=np.uint8) * 255),
        "objects": square(1000, np.uint16),
    }.items():
        save(tmp_path / name / "images/a.png", square(90))
        save(tmp_path / name / "masks/a.tif", mask)
    binary = open_pairs(tmp_path / "binary")
    assert (binary.kind, set(binary.classes)) == ("semantic", {1})
    np.testing.assert_array_equal(binary.labels("a"), square())
    classes = open_pairs(tmp_path / "classes")
    assert (classes.kind, set(classes.classes)) == ("semantic", {3})
    assert classes.labels("a")[0, 0] == 255
    objects = open_pairs(tmp_path / "objects")
    assert objects.kind == "instance"
    assert objects.mask("a").max() == 1000
    np.testing.assert_array_equal(objects.labels("a"), square())


def test_images_are_scaled_to_eight_bits(tmp_path: Path) -> None:
    deep = np.linspace(1000, 60000, 1600).reshape(40, 40).astype(np.uint16)
    for name, image in {
        "deep.tif": deep,
        "float.tif": deep.astype(np.float32) / 7,
        "alpha.png": np.dstack([square(200)] * 4),
    }.items():
        save(tmp_path / "images" / name, image)
        save(tmp_path / "masks" / f"{Path(name).stem}.png", square())
    dataset = open_pairs(tmp_path)
    assert dataset.image("alpha").shape == (40, 40, 3)
    for name in ("deep", "float"):
        image = dataset.image(name)
        assert image.dtype == np.uint8
        assert (image.min(), image.max()) == (0, 255)
        assert (np.diff(image.ravel().astype(int)) >= 0).all()


def test_invalid_pairs_are_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no images with masks"):
        open_pairs(tmp_path)
    save(tmp_path / "images/a.png", square())
    save(tmp_path / "masks/b.png", square())
    with pytest.raises(InputError, match=r"a\.png has no mask"):
        open_pairs(tmp_path)
    save(tmp_path / "masks/a.png", square(size=50))
    with pytest.raises(InputError, match="differs in size"):
        open_pairs(tmp_path)
    save(tmp_path / "masks/a.png", np.dstack([square()] * 3))
    with pytest.raises(InputError, match="is not a mask"):
        open_pairs(tmp_path)
    (tmp_path / "masks/a.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="cannot be read as an image"):
        open_pairs(tmp_path)
    save(tmp_path / "images/a.tif", np.zeros((7, 40, 40), np.uint8))
    (tmp_path / "images/a.png").unlink()
    save(tmp_path / "masks/a.png", square())
    with pytest.raises(InputError, match=r"array of shape \(7, 40, 40\)"):
        open_pairs(tmp_path)


@pytest.fixture
def content() -> dict[str, Any]:
    """COCO file with overlapping polygons, both kinds of run lengths, and a crowd."""
    packed = coco.encode(np.asfortranarray(square()))
    packed["counts"] = packed["counts"].decode()
    flat = square().ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    outline = [5, 10, 25, 10, 25, 30, 5, 30]
    small = [10, 15, 14, 15, 14, 19, 10, 19]

    def entry(number: int, image: int, category: int, segmentation: Any, **more: Any) -> Any:
        return {
            "id": number,
            "image_id": image,
            "category_id": category,
            "segmentation": segmentation,
            **more,
        }

    return {
        "info": {"description": "Two images"},
        "licenses": [{"id": 1, "name": "CC0"}],
        "images": [
            {"id": n, "file_name": f"i{n}.png", "height": 40, "width": 40} for n in range(4)
        ],
        "categories": [{"id": 7, "name": "cell"}, {"id": 90, "name": "spore"}],
        "annotations": [
            entry(1, 0, 90, [small], area=16),
            entry(2, 0, 7, [outline], area=400),
            entry(3, 1, 7, {"size": [40, 40], "counts": counts}, area=400),
            entry(4, 2, 90, packed, area=400, iscrowd=1),
        ],
    }


def write(folder: Path, content: dict[str, Any], images: str = "images") -> Path:
    for item in content["images"]:
        save(folder / images / item["file_name"], square(120))
    (folder / "annotations").mkdir(exist_ok=True)
    path = folder / "annotations/instances_train.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("images", ["images", "annotations", "annotations/images", "train", "."])
def test_coco(tmp_path: Path, content: dict[str, Any], images: str) -> None:
    (dataset,) = find_datasets([write(tmp_path, content, images)])
    assert dataset.title == "Two images"
    assert dataset.license == "CC0"
    assert dataset.classes == {1: "cell", 2: "spore"}
    assert dataset.ids == ("i0", "i1", "i2", "i3")
    expected = square()
    expected[15:19, 10:14] = 2
    np.testing.assert_array_equal(dataset.labels("i0"), expected)
    np.testing.assert_array_equal(dataset.labels("i1"), square())
    np.testing.assert_array_equal(dataset.labels("i2"), square(255))
    assert not dataset.labels("i3").any()


def test_images_of_a_coco_file_in_another_folder(tmp_path: Path, content: dict[str, Any]) -> None:
    path = write(tmp_path, content, "far/away")
    with pytest.raises(InputError, match=r"image i0\.png not found"):
        open_coco(path)
    assert len(open_coco(path, tmp_path / "far/away").ids) == 4


def test_invalid_coco_files_are_reported(tmp_path: Path, content: dict[str, Any]) -> None:
    path = write(tmp_path, content)
    for broken, message in {
        "{": "is not a COCO file",
        "[]": "is not a COCO file",
        '{"images": []}': "is not a COCO file",
        json.dumps(content | {"annotations": []}): "has no segmentations",
        json.dumps(content | {"images": content["images"][:1]}): "unknown image",
    }.items():
        path.write_text(broken)
        with pytest.raises(InputError, match=message):
            open_coco(path)
    with pytest.raises(InputError, match="cannot be read"):
        find_datasets([tmp_path / "none.json"])
    content["annotations"][0]["segmentation"] = {"size": [40, 40], "counts": {}}
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="a segmentation cannot be read"):
        open_coco(path).mask("i0")
