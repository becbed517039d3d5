"""Training datasets as folders of image and mask files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import Dataset, read_array

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
IMAGE_FOLDERS = ("images", "image", "imgs")
MASK_FOLDERS = ("masks", "mask", "labels", "label")
MASK_SUFFIXES = ("_mask", "_masks", "_label", "_labels", "_seg", "-mask", "-label")
"""Suffixes that distinguish a mask's name from its image's if both are in one folder."""

PERCENTILES = (0.5, 99.5)
"""Percentiles of an image that are mapped to 0 and 255."""


@dataclass(frozen=True)
class PairDataset(Dataset):
    """Pairs of image and mask files; see `open_pairs`.

    Attributes
    ----------
    image_files, mask_files : mapping of str to Path
        Files by image id.
    binary : bool
        True if the masks are 0 and 255, of which 255 marks the class.
    """

    image_files: Mapping[str, Path] = field(default_factory=dict)
    mask_files: Mapping[str, Path] = field(default_factory=dict)
    binary: bool = False

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """Read an image, shape (Y, X, C) with 1 or 3 channels, scaled to uint8."""
        return read_image(self.image_files[image_id])

    def mask(self, image_id: str) -> NDArray[Any]:
        """Read a mask, shape (Y, X): class ids (255 ignored) or object ids."""
        mask = _read_mask(self.mask_files[image_id])
        return (mask > 0).astype(np.uint8) if self.binary else mask


def open_pairs(folder: Path) -> PairDataset:
    """Open a folder of image and mask pairs.

    Files are either `images/NAME` and `masks/NAME` (or `labels/NAME`), or `NAME` and `NAME_mask`
    (or `_label`, `_seg`). Masks of 0 and 255 show a single class; other 8-bit masks contain class
    ids, 255 ignored; masks of more bits contain the objects of a single class.

    Raises
    ------
    InputError
        If there are no pairs, or an image has no mask or one of another size.
    """
    images, masks = _find_pairs(folder)
    if not images:
        raise InputError(
            f"{folder} has no images with masks: name the files images/NAME and masks/NAME, or "
            "NAME and NAME_mask, as .png or .tif."
        )
    unpaired = sorted(images.keys() - masks.keys())
    if unpaired:
        raise InputError(f"{images[unpaired[0]]} has no mask: add one, or remove the image.")
    values: set[int] = set()
    objects = False
    for name, path in masks.items():
        mask = _read_mask(path)
        if mask.shape != read_image(images[name]).shape[:2]:
            raise InputError(f"{path} differs in size from its image: crop one of them.")
        values |= set(np.unique(mask).tolist())
        objects = objects or mask.dtype != np.uint8
    binary = values <= {0, IGNORED} and IGNORED in values
    class_ids = [1] if objects or binary else sorted(values - {0, IGNORED})
    name = folder.resolve().name
    return PairDataset(
        root=folder,
        name=name,
        title=name,
        kind="instance" if objects and not binary else "semantic",
        classes={class_id: f"class {class_id}" for class_id in class_ids},
        ids=tuple(sorted(images)),
        sequences={},
        image_files=images,
        mask_files=masks,
        binary=binary,
    )


def _find_pairs(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    images = next((folder / n for n in IMAGE_FOLDERS if (folder / n).is_dir()), None)
    masks = next((folder / n for n in MASK_FOLDERS if (folder / n).is_dir()), None)
    if images is not None and masks is not None:
        named = _image_files(masks).items()
        return _image_files(images), {_image_name(name): path for name, path in named}
    files = _image_files(folder)
    marked = {name: path for name, path in files.items() if _image_name(name) != name}
    unmarked = {name: path for name, path in files.items() if name not in marked}
    return (unmarked if marked else {}), {_image_name(n): path for n, path in marked.items()}


def _image_files(folder: Path) -> dict[str, Path]:
    return {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in SUFFIXES}


def _image_name(mask_name: str) -> str:
    suffixes = (s for s in MASK_SUFFIXES if mask_name.endswith(s))
    return mask_name.removesuffix(next(suffixes, ""))


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image, shape (Y, X, 1 or 3), scaled to 8 bits by percentiles if it is deeper.

    Raises
    ------
    InputError
        If the file cannot be read or does not contain a single image.
    """
    image = read_array(path)
    if image.ndim == 3 and image.shape[-1] in (2, 4):
        image = image[..., : 3 if image.shape[-1] == 4 else 1]  # without alpha
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise InputError(f"{path} is not a single image but an array of shape {image.shape}.")
    if image.dtype == np.uint8:
        return image
    low, high = np.percentile(image, PERCENTILES)
    scaled = (image.astype(np.float64) - low) / max(high - low, 1e-9)
    return np.asarray((255 * scaled).clip(0, 255), dtype=np.uint8)


def _read_mask(path: Path) -> NDArray[Any]:
    mask = read_array(path)
    if mask.dtype == bool:
        mask = mask.astype(np.uint8)
    if mask.ndim != 2 or mask.dtype.kind not in "ui" or mask.min(initial=0) < 0:
        raise InputError(f"{path} is not a mask: it needs one non-negative integer per pixel.")
    return mask
