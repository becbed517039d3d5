"""COCO-20i: COCO 2014, twenty novel classes a fold (Nguyen and Todorovic, ICCV 2019)."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.few_shot_sets import FOLDS, FewShotSet, Part, Split

SITE = "http://images.cocodataset.org"
ANNOTATIONS = f"{SITE}/annotations/annotations_trainval2014.zip"
YEARS: dict[Split, tuple[str, int]] = {"train": ("train2014", 82_783), "test": ("val2014", 40_504)}
"""Folder of each split, and how many images it has."""


class _Opened(NamedTuple):
    """A file of annotations, and the class that each of its category ids stands for."""

    index: Any
    numbers: dict[int, int]


class Coco20i(FewShotSet):
    """`train2014`, `val2014` and `annotations/instances_*.json`, as they are unpacked."""

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
        self._files: dict[Split, _Opened] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Gigabytes: processes that are started anew open the one file that they need.
        return {**self.__dict__, "_files": {}}

    def parts(self) -> list[Part]:
        """What belongs to it, and how much of that is there."""
        parts = []
        for split, (folder, count) in YEARS.items():
            images, file = self.root / folder, self._annotations(split)
            found = sum(1 for _ in images.glob("*.jpg"))
            parts.append(Part(images, found, count, f"{SITE}/zips/{folder}.zip"))
            parts.append(Part(file, int(file.is_file()), 1, ANNOTATIONS))
        return parts

    def novel(self, fold: int) -> tuple[int, ...]:
        """Every fourth class."""
        self._check_fold(fold)
        return tuple(range(fold + 1, len(self.class_names) + 1, FOLDS))

    def ids(self, split: Split) -> Sequence[str]:
        """Images with outlines, in the order of their numbers."""
        return tuple(map(str, sorted(self._index(split).imgToAnns)))

    def image(self, split: Split, image_id: str) -> NDArray[np.uint8]:
        """An image, shape (Y, X, 3)."""
        folder, _ = YEARS[split]
        path = self.root / folder / self._index(split).imgs[int(image_id)]["file_name"]
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB"))
        except OSError as error:
            raise InputError(f"{path} cannot be read: get {SITE}/zips/{folder}.zip.") from error

    def mask(self, split: Split, image_id: str, class_id: int) -> NDArray[np.uint8]:
        """Where a class is, shape (Y, X): 1, elsewhere 0, and 255 in crowds."""
        index = self._index(split)
        size = index.imgs[int(image_id)]
        mask = np.zeros((size["height"], size["width"]), np.uint8)
        own = [a for a in index.imgToAnns[int(image_id)] if self._class_of(split, a) == class_id]
        # What is outlined by itself is known, crowd around it or not.
        for entry in sorted(own, key=lambda entry: -entry["iscrowd"]):
            with warnings.catch_warnings():
                # NumPy 2 would have pycocotools hand over its arrays in another way.
                warnings.simplefilter("ignore", DeprecationWarning)
                inside = index.annToMask(entry).astype(bool)
            mask[inside] = IGNORED if entry["iscrowd"] else 1
        return mask

    def areas_on(self, split: Split, image_id: str) -> dict[int, int]:
        """Pixels of each class on an image that shows any, as COCO tells them of its objects."""
        areas: dict[int, float] = defaultdict(float)
        for entry in self._index(split).imgToAnns[int(image_id)]:
            if not entry["iscrowd"]:
                areas[self._class_of(split, entry)] += entry["area"]
        return {class_id: int(area) for class_id, area in areas.items() if area >= 1}

    def _class_of(self, split: Split, entry: dict[str, Any]) -> int:
        """Category ids have gaps; their order counts."""
        return self._opened(split).numbers[entry["category_id"]]

    def _index(self, split: Split) -> Any:
        return self._opened(split).index

    def _opened(self, split: Split) -> _Opened:
        if split not in self._files:
            self._files[split] = self._open(split)
        return self._files[split]

    def _open(self, split: Split) -> _Opened:
        try:
            from pycocotools.coco import COCO
        except ModuleNotFoundError as error:
            raise InputError(
                "COCO needs pycocotools: python -m pip install 'napari-vrp-sam[train]'."
            ) from error
        path = self._annotations(split)
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it talks
                index = COCO(str(path))
        except FileNotFoundError as error:
            raise InputError(f"{path} is not there: get it from {ANNOTATIONS}.") from error
        except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
            raise InputError(f"{path} is no COCO file of instances: {error!r}.") from error
        if len(index.cats) > len(self.class_names):
            raise InputError(f"{path} has {len(index.cats)} categories; COCO has 80.")
        return _Opened(index, {key: n for n, key in enumerate(sorted(index.cats), start=1)})

    def _annotations(self, split: Split) -> Path:
        return self.root / "annotations" / f"instances_{YEARS[split][0]}.json"
