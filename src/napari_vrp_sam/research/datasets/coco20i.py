"""COCO-20i: COCO 2014 with 20 novel classes per fold (Nguyen and Todorovic, ICCV 2019)."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.coco import CocoFile, rasterise, read_coco
from napari_vrp_sam.research.datasets.few_shot_sets import (
    FOLDS,
    FewShotDataset,
    RequiredFiles,
    Split,
)

SITE = "http://images.cocodataset.org"
ANNOTATIONS = f"{SITE}/annotations/annotations_trainval2014.zip"
SPLITS: dict[Split, tuple[str, int]] = {"train": ("train2014", 82_783), "test": ("val2014", 40_504)}
"""Folder and number of images of each split."""


class Coco20i(FewShotDataset):
    """The folders `train2014` and `val2014` and the files `annotations/instances_*.json`."""

    name = "coco20i"
    class_names = (
        "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
        "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat",
        "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack",
        "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball",
        "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket",
        "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
        "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair",
        "couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse",
        "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
        "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier",
        "toothbrush",
    )  # fmt: skip

    def __init__(self, root: str | os.PathLike[str], cache_folder: Path | None = None) -> None:
        super().__init__(root, cache_folder)
        self._files: dict[Split, CocoFile] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Annotations take gigabytes: worker processes read the file that they need themselves.
        return {**self.__dict__, "_files": {}}

    def required_files(self) -> list[RequiredFiles]:
        """List the files of the benchmark, and how many of them exist."""
        required = []
        for split, (folder, count) in SPLITS.items():
            images, file = self.root / folder, self._annotation_path(split)
            found = sum(1 for _ in images.glob("*.jpg"))
            required.append(RequiredFiles(images, found, count, f"{SITE}/zips/{folder}.zip"))
            required.append(RequiredFiles(file, int(file.is_file()), 1, ANNOTATIONS))
        return required

    def novel_classes(self, fold: int) -> tuple[int, ...]:
        """Return every fourth class."""
        self._check_fold(fold)
        return tuple(range(fold + 1, len(self.class_names) + 1, FOLDS))

    def image_ids(self, split: Split) -> Sequence[str]:
        """Return the images with annotations in numerical order."""
        return tuple(map(str, sorted(self._annotations(split).annotations)))

    def image(self, split: Split, image_id: str) -> NDArray[np.uint8]:
        """Read an image, shape (Y, X, 3)."""
        folder, _ = SPLITS[split]
        path = self.root / folder / self._annotations(split).images[int(image_id)]["file_name"]
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB"))
        except OSError as error:
            raise InputError(
                f"{path} cannot be read: download {SITE}/zips/{folder}.zip."
            ) from error

    def mask(self, split: Split, image_id: str, class_id: int) -> NDArray[np.uint8]:
        """Rasterise the mask of a class, shape (Y, X): 1 inside, 0 outside, 255 in crowds."""
        file = self._annotations(split)
        height, width = (file.images[int(image_id)][name] for name in ("height", "width"))
        mask = np.zeros((height, width), np.uint8)
        class_ids = file.class_ids
        entries = file.annotations[int(image_id)]
        entries = [e for e in entries if class_ids[e["category_id"]] == class_id]
        # Crowds first, because single objects within a crowd are known.
        for entry in sorted(entries, key=lambda entry: -entry["iscrowd"]):
            inside = rasterise(entry["segmentation"], height, width, f"{self.name}, {image_id}")
            mask[inside] = IGNORED if entry["iscrowd"] else 1
        return mask

    def image_class_areas(self, split: Split, image_id: str) -> dict[int, int]:
        """Return the area of each class of an image, according to COCO."""
        file = self._annotations(split)
        class_ids = file.class_ids
        areas: dict[int, float] = defaultdict(float)
        for entry in file.annotations[int(image_id)]:
            if not entry["iscrowd"]:
                areas[class_ids[entry["category_id"]]] += entry["area"]
        return {class_id: int(area) for class_id, area in areas.items() if area >= 1}

    def _annotations(self, split: Split) -> CocoFile:
        if split not in self._files:
            path = self._annotation_path(split)
            if not path.exists():
                raise InputError(f"{path} does not exist: download {ANNOTATIONS}.")
            file = read_coco(path)
            if len(file.categories) > len(self.class_names):
                raise InputError(f"{path} has {len(file.categories)} categories; COCO has 80.")
            self._files[split] = file
        return self._files[split]

    def _annotation_path(self, split: Split) -> Path:
        return self.root / "annotations" / f"instances_{SPLITS[split][0]}.json"
