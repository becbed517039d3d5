"""Tiny datasets in the published layouts of VOC 2012, SBD and COCO 2014."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

SCALE = 3
SIDE = 64 * SCALE


def disc(row: int, column: int, radius: int) -> np.ndarray:
    rows, columns = np.indices((SIDE, SIDE))
    distance = np.hypot(rows - SCALE * row, columns - SCALE * column)
    inside: np.ndarray = distance < SCALE * radius
    return inside


def scene(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an RGB image and its labels.

    A bright disc is class 1, a dark one with an ignored border class 2; odd numbers also contain
    class 6. All areas exceed 2,048 pixels.
    """
    rng = np.random.default_rng(number)
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[disc(20 + number, 18, 12)] = 1
    labels[disc(44, 42 - number, 13)] = 255
    labels[disc(44, 42 - number, 11)] = 2
    if number % 2:
        labels[disc(12, 52, 9)] = 6
    colours = {0: (110, 110, 110), 1: (230, 200, 60), 2: (20, 40, 120), 6: (80, 160, 80)}
    filled = labels.copy()
    filled[labels == 255] = 2
    image = np.zeros((SIDE, SIDE, 3))
    for value, colour in colours.items():
        image[filled == value] = colour
    return (image + rng.normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8), labels


def write_pascal(root: Path, *, train: int = 4, test: int = 5, merged: bool = True) -> Path:
    """Write the folder of VOC, with the masks of SBD in it (merged) or beside it."""
    folder = root / "VOCdevkit" / "VOC2012"
    masks = folder / ("SegmentationClassAug" if merged else "SegmentationClass")
    outlines = root / "benchmark_RELEASE" / "dataset" / "cls"
    for path in (folder / "JPEGImages", masks, folder / "ImageSets/Segmentation", outlines):
        path.mkdir(parents=True)
    names = [f"2007_{number:06}" for number in range(train + test)]
    for number, name in enumerate(names):
        image, labels = scene(number)
        Image.fromarray(image).save(folder / "JPEGImages" / f"{name}.jpg", quality=95)
        if merged or number >= train:
            picture = Image.fromarray(labels, mode="P")
            picture.putpalette(list(range(256)) * 3)
            picture.save(masks / f"{name}.png")
        else:
            savemat(outlines / f"{name}.mat", {"GTcls": {"Segmentation": labels}})
    listed = "".join(f"{name}\n" for name in names[train:])
    (folder / "ImageSets/Segmentation/val.txt").write_text(listed)
    return root


def write_coco(root: Path, images: int = 5) -> Path:
    """Write the folders of COCO, with objects as polygons and run lengths, and a crowd."""
    (root / "annotations").mkdir(parents=True)
    # Category ids have gaps, as in COCO: 13 is class 2, 90 is class 5.
    categories = [{"id": key, "name": f"class {key}"} for key in (1, 13, 20, 44, 90)]
    for split in ("train2014", "val2014"):
        (root / split).mkdir()
        entries = []
        for number in range(images):
            image, labels = scene(number)
            name = f"COCO_{split}_{number:012}.jpg"
            Image.fromarray(image).save(root / split / name, quality=95)
            box = [SCALE * at for at in (4, 6, 30, 6, 30, 28, 4, 28)]  # x, y, x, y, ...
            entries.append(outline(number, 1, [box], SCALE**2 * 26 * 22))
            box = [SCALE * at for at in (40, 40, 60, 40, 60, 60, 40, 60)]
            entries.append(outline(number, 1, [box], SCALE**2 * 400))
            runs = run_lengths(labels == 2)
            entries.append(outline(number, 90, {"counts": runs, "size": [SIDE, SIDE]}, 2700, 0))
            crowd = np.zeros((SIDE, SIDE), bool)
            crowd[: 8 * SCALE] = True
            shape = {"counts": run_lengths(crowd), "size": [SIDE, SIDE]}
            entries.append(outline(number, 90, shape, SCALE**2 * 512, 1))
        for number, entry in enumerate(entries):
            entry["id"] = number + 1
        content = {
            "images": [
                {"id": n, "file_name": f"COCO_{split}_{n:012}.jpg", "height": SIDE, "width": SIDE}
                for n in range(images + 1)  # the last one has no objects
            ],
            "annotations": entries,
            "categories": categories,
        }
        file = root / "annotations" / f"instances_{split}.json"
        file.write_text(json.dumps(content))
    return root


def outline(image: int, category: int, shape: object, area: int, crowd: int = 0) -> dict:
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": shape,
        "area": area,
        "iscrowd": crowd,
    }


def run_lengths(mask: np.ndarray) -> list[int]:
    """Compute uncompressed run lengths in column-major order, starting with zeros."""
    flat = mask.ravel(order="F").astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    return np.diff([0, *edges, flat.size]).tolist()
