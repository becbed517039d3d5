"""Training datasets in COCO's instance format."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

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
            inside = rasterise(entry["segmentation"], height, width, f"{self.name}, {image_id}")
            class_id = IGNORED if entry.get("iscrowd") else self.class_ids[entry["category_id"]]
            mask[inside] = class_id
        return mask


class CocoFile(NamedTuple):
    """Content of a COCO file of instances.

    Attributes
    ----------
    content : dict
        The whole file.
    images : dict of int to dict
        Entries of the images by image id.
    categories : dict of int to str
        Names by category id, in ascending order.
    annotations : dict of int to list of dict
        Annotations with a segmentation, by image id.
    """

    content: dict[str, Any]
    images: dict[int, dict[str, Any]]
    categories: dict[int, str]
    annotations: dict[int, list[dict[str, Any]]]

    @property
    def class_ids(self) -> dict[int, int]:
        """Class ids 1, 2, ... by category id; category ids may have gaps."""
        return {key: number for number, key in enumerate(self.categories, start=1)}


def read_coco(path: Path) -> CocoFile:
    """Read a COCO file of instances with polygons or run-length encodings.

    Raises
    ------
    InputError
        If the file does not have this format, or pycocotools is not installed.
    """
    _mask_api()
    try:
        content = json.loads(path.read_text("utf-8"))
        images = {int(item["id"]): item for item in content["images"]}
        categories = {int(item["id"]): str(item["name"]) for item in content["categories"]}
        found: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for entry in content["annotations"]:
            if entry["category_id"] not in categories or entry["image_id"] not in images:
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
    return CocoFile(content, images, dict(sorted(categories.items())), found)


def open_coco(path: Path, images: Path | None = None) -> CocoDataset:
    """Open a COCO file of instances as a dataset.

    Parameters
    ----------
    path : Path
        The `.json` file.
    images : Path, optional
        Folder of its images; default: searched for beside the file and in folders named `images`.

    Raises
    ------
    InputError
        If the file cannot be read, an image is missing, or there are too many classes.
    """
    file = read_coco(path)
    if len(file.categories) >= IGNORED:
        raise InputError(
            f"{path} has {len(file.categories)} categories; at most 254 are supported."
        )
    folders = [images] if images else [path.parent, path.parent / "images"]
    if not images:
        above = path.parent.parent
        folders += [above, above / "images", above / path.stem.removeprefix("instances_")]
    # Images without annotations are kept: they show the background.
    located = {}
    annotations = {}
    for key, item in file.images.items():
        name = str(item["file_name"])
        located[Path(name).stem] = _locate(name, folders, path)
        annotations[Path(name).stem] = sorted(
            file.annotations.get(key, []), key=lambda entry: -float(entry.get("area", 0))
        )
    if len(located) < len(file.images):
        raise InputError(f"{path} has two images of the same name: rename one of them.")
    licenses = [str(item.get("name", "")) for item in file.content.get("licenses") or []]
    return CocoDataset(
        root=path.parent,
        name=path.stem,
        title=str((file.content.get("info") or {}).get("description") or path.stem),
        kind="semantic",
        classes=dict(enumerate(file.categories.values(), start=1)),
        ids=tuple(sorted(located)),
        sequences={},
        license="; ".join(filter(None, licenses)) or "unstated",
        image_files=located,
        annotations=annotations,
        class_ids=file.class_ids,
    )


def _locate(name: str, folders: Iterable[Path], path: Path) -> Path:
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{path}: image {name} not found: specify the folder of the images.")


def _mask_api() -> Any:
    try:
        from pycocotools import mask
    except ModuleNotFoundError as error:
        raise InputError(
            "COCO files need pycocotools: python -m pip install 'napari-vrp-sam[train]'."
        ) from error
    return mask


def rasterise(segmentation: Any, height: int, width: int, source: str) -> NDArray[np.bool_]:
    """Convert polygons or run lengths to a mask; `source` names them in an error."""
    coco = _mask_api()
    try:
        # Polygons and uncompressed run lengths have to be compressed first.
        if isinstance(segmentation, list) or isinstance(segmentation["counts"], list):
            segmentation = coco.frPyObjects(segmentation, height, width)
        with warnings.catch_warnings():
            # The arrays of pycocotools are deprecated under NumPy 2.
            warnings.simplefilter("ignore", DeprecationWarning)
            merged = coco.merge(segmentation) if isinstance(segmentation, list) else segmentation
            return np.asarray(coco.decode(merged), dtype=bool).reshape(height, width)
    except Exception as error:  # compiled code raises exceptions of any type
        raise InputError(f"{source}: a segmentation cannot be read: {error}.") from None
