"""Training datasets in COCO's instance format."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.datasets.pairs import read_image


@dataclass(frozen=True)
class CocoDataset(Dataset):
    """Images with instance annotations in COCO's format; see `open_coco`.

    Attributes
    ----------
    image_files : mapping of str to Path
        Image files by image id.
    annotations : mapping of str to list of dict
        Annotations by image id, largest first, so that small objects are drawn over large ones.
    class_ids : mapping of int to int
        Class id by COCO category id.
    """

    image_files: Mapping[str, Path] = field(default_factory=dict)
    annotations: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    class_ids: Mapping[int, int] = field(default_factory=dict)

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """Read an image, shape (Y, X, C) with 1 or 3 channels, uint8."""
        return read_image(self.image_files[image_id])

    def mask(self, image_id: str) -> NDArray[np.uint8]:
        """Rasterise the classes, shape (Y, X): 0 background, 255 in crowds."""
        height, width = self.image(image_id).shape[:2]
        mask = np.zeros((height, width), np.uint8)
        for entry in self.annotations[image_id]:
            inside = _decode(entry["segmentation"], height, width, f"{self.name}, {image_id}")
            class_id = IGNORED if entry.get("iscrowd") else self.class_ids[entry["category_id"]]
            mask[inside] = class_id
        return mask


def open_coco(path: Path, images: Path | None = None) -> CocoDataset:
    """Open a COCO file of instances with polygons or run-length encodings.

    Parameters
    ----------
    path : Path
        The `.json` file.
    images : Path, optional
        Folder of its images; default: searched for beside the file and in folders named `images`.

    Raises
    ------
    InputError
        If the file does not have this format, an image is missing, or there are too many classes.
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
        raise InputError(f"{path} is not a COCO file of instances: {error!r}.") from None
    if not found:
        raise InputError(f"{path} has no segmentations: use a COCO file of instances, not boxes.")
    if len(categories) >= IGNORED:
        raise InputError(f"{path} has {len(categories)} categories; at most 254 are supported.")
    folders = [images] if images else [path.parent, path.parent / "images"]
    if not images:
        above = path.parent.parent
        folders += [above, above / "images", above / path.stem.removeprefix("instances_")]
    # Images without annotations are kept: they show the background.
    located = {Path(name).stem: _locate(name, folders, path) for name in files.values()}
    if len(located) < len(files):
        raise InputError(f"{path} has two images of the same name: rename one of them.")
    names = enumerate((categories[key] for key in sorted(categories)), start=1)
    licenses = [str(item.get("name", "")) for item in content.get("licenses") or []]
    return CocoDataset(
        root=path.parent,
        name=path.stem,
        title=str((content.get("info") or {}).get("description") or path.stem),
        kind="semantic",
        classes=dict(names),
        ids=tuple(sorted(located)),
        sequences={},
        license="; ".join(filter(None, licenses)) or "unstated",
        image_files=located,
        annotations={
            Path(name).stem: sorted(found[key], key=lambda entry: -float(entry.get("area", 0)))
            for key, name in files.items()
        },
        class_ids={key: number for number, key in enumerate(sorted(categories), start=1)},
    )


def _locate(name: str, folders: Iterable[Path], path: Path) -> Path:
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{path}: image {name} not found: specify the folder of the images.")


@contextmanager
def pycocotools_required() -> Iterator[None]:
    """Turn the ImportError of a missing pycocotools into an InputError with install advice."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            "COCO files need pycocotools: python -m pip install 'napari-vrp-sam[train]'."
        ) from error


@contextmanager
def numpy_deprecations_ignored() -> Iterator[None]:
    """Hide the deprecation warnings of pycocotools' arrays under NumPy 2."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _decode(segmentation: Any, height: int, width: int, source: str) -> NDArray[np.bool_]:
    """Rasterise polygons or run-length encodings."""
    with pycocotools_required():
        from pycocotools import mask as coco
    try:
        # Polygons and uncompressed run lengths have to be compressed first.
        if isinstance(segmentation, list) or isinstance(segmentation["counts"], list):
            segmentation = coco.frPyObjects(segmentation, height, width)
        with numpy_deprecations_ignored():
            merged = coco.merge(segmentation) if isinstance(segmentation, list) else segmentation
            return np.asarray(coco.decode(merged), dtype=bool).reshape(height, width)
    except Exception as error:  # compiled code raises exceptions of any type
        raise InputError(f"{source}: a segmentation cannot be read: {error}.") from None
