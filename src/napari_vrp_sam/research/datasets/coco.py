"""COCO files of instances, to train on."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.datasets.pairs import as_image


@dataclass(frozen=True)
class CocoDataset(Dataset):
    """Images with instances in COCO's format; see `open_coco`.

    Attributes
    ----------
    image_files : mapping of str to Path
    annotations : mapping of str to list of dict
        Those of each image, the largest first, so that small objects lie above large ones.
    numbers : mapping of int to int
        Class by COCO's id of the category.
    """

    image_files: Mapping[str, Path] = field(default_factory=dict)
    annotations: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    numbers: Mapping[int, int] = field(default_factory=dict)

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """An image, shape (Y, X, C) with 1 or 3 channels, uint8."""
        return as_image(self.image_files[image_id])

    def mask(self, image_id: str) -> NDArray[np.uint8]:
        """Classes, shape (Y, X): 0 background, 255 where a crowd was not told apart."""
        height, width = self.image(image_id).shape[:2]
        mask = np.zeros((height, width), np.uint8)
        for entry in self.annotations[image_id]:
            inside = _inside(entry["segmentation"], height, width, f"{self.name}, {image_id}")
            number = IGNORED if entry.get("iscrowd") else self.numbers[entry["category_id"]]
            mask[inside] = number
        return mask


def open_coco(path: Path, images: Path | None = None) -> CocoDataset:
    """Open a COCO file of instances: polygons and run lengths.

    Parameters
    ----------
    path : Path
        The `.json` file.
    images : Path, optional
        Folder of its images; unless given they are looked for beside the file and in `images`.

    Raises
    ------
    InputError
        If the file is no such one, an image is missing, or there are too many categories.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        files = {int(item["id"]): str(item["file_name"]) for item in content["images"]}
        categories = {int(item["id"]): str(item["name"]) for item in content["categories"]}
        found: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for entry in content["annotations"]:
            if entry["category_id"] not in categories or entry["image_id"] not in files:
                raise InputError(
                    f"{path}: annotation {entry.get('id')} has an unknown image or category."
                )
            if entry.get("segmentation"):
                found[entry["image_id"]].append(entry)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no COCO file of instances: {error!r}.") from None
    if not found:
        raise InputError(f"{path} holds no outlines: only boxes or nothing at all is annotated.")
    if len(categories) >= IGNORED:
        raise InputError(f"{path} has {len(categories)} categories; 254 is the most that fit.")
    folders = [images] if images else [path.parent, path.parent / "images"]
    if not images:
        folders += [path.parent.parent, path.parent.parent / "images"]
        folders.append(path.parent.parent / path.stem.removeprefix("instances_"))
    # An image without annotations shows none of the classes, and that teaches as well.
    located = {Path(name).stem: _locate(name, folders, path) for name in files.values()}
    if len(located) < len(files):
        raise InputError(f"{path} has two images of one name: give each its own.")
    return CocoDataset(
        root=path.parent,
        name=path.stem,
        title=str((content.get("info") or {}).get("description") or path.stem),
        kind="semantic",
        classes=dict(enumerate((categories[key] for key in sorted(categories)), start=1)),
        ids=tuple(sorted(located)),
        sequences={},
        license=_licence(content),
        image_files=located,
        annotations={
            Path(name).stem: sorted(found[key], key=lambda entry: -float(entry.get("area", 0)))
            for key, name in files.items()
        },
        numbers={key: number for number, key in enumerate(sorted(categories), start=1)},
    )


def _locate(name: str, folders: Iterable[Path], path: Path) -> Path:
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{path} names the image {name}, which is not there: tell its folder.")


def _licence(content: Mapping[str, Any]) -> str:
    names = [str(item.get("name", "")) for item in content.get("licenses") or []]
    return "; ".join(filter(None, names)) or "unstated"


def _inside(segmentation: Any, height: int, width: int, where: str) -> NDArray[np.bool_]:
    """Pixels within polygons or run lengths."""
    try:
        from pycocotools import mask as coco
    except ModuleNotFoundError as error:
        raise InputError(
            "COCO files need pycocotools: python -m pip install 'napari-vrp-sam[train]'."
        ) from error
    try:
        parts = coco.frPyObjects(segmentation, height, width) if _is_plain(segmentation) else None
        runs = segmentation if parts is None else parts
        with warnings.catch_warnings():
            # NumPy 2 would have pycocotools hand over its arrays in another way.
            warnings.simplefilter("ignore", DeprecationWarning)
            decoded = coco.decode(coco.merge(runs) if isinstance(runs, list) else runs)
        return np.asarray(decoded, dtype=bool).reshape(height, width)
    except Exception as error:  # compiled code: what it raises is its own affair
        raise InputError(f"{where}: an outline cannot be read: {error}.") from None


def _is_plain(segmentation: Any) -> bool:
    """Whether it is polygons, or run lengths as numbers; else they are packed in a string."""
    return isinstance(segmentation, list) or isinstance(segmentation["counts"], list)
