"""Folders of images and masks as people have them, to train on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import Dataset

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
IMAGE_FOLDERS = ("images", "image", "imgs")
MASK_FOLDERS = ("masks", "mask", "labels", "label")
ENDINGS = ("_mask", "_masks", "_label", "_labels", "_seg", "-mask", "-label")
"""What a mask's name adds to that of its image, where both lie in one folder."""

PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class PairDataset(Dataset):
    """Images and masks as files anywhere; see `open_pairs`.

    Attributes
    ----------
    image_files, mask_files : mapping of str to Path
        By image id.
    binary : bool
        Whether the masks are 0 and 255, which then means the class.
    """

    image_files: Mapping[str, Path] = field(default_factory=dict)
    mask_files: Mapping[str, Path] = field(default_factory=dict)
    binary: bool = False

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """An image, shape (Y, X, C) with 1 or 3 channels, uint8; 16 bits are scaled to 8."""
        return as_image(self.image_files[image_id])

    def mask(self, image_id: str) -> NDArray[Any]:
        """A mask, shape (Y, X): class ids (255 ignored) or object ids."""
        mask = _read_mask(self.mask_files[image_id])
        return (mask > 0).astype(np.uint8) if self.binary else mask


def open_pairs(folder: Path) -> PairDataset:
    """Open a folder of image and mask pairs.

    Either `images/NAME` beside `masks/NAME` (or `labels/NAME`), or `NAME` beside `NAME_mask` (or
    `_label`, `_seg`). Masks of 0 and 255 show one class; masks of 8 bits hold classes, 255 ignored;
    masks of more bits hold objects of one class.

    Raises
    ------
    InputError
        If there are no pairs, an image lacks its mask, or the two differ in size.
    """
    images, masks = _pairs_in(folder)
    if not images:
        raise InputError(
            f"{folder} holds no images with masks: put them into images/NAME and masks/NAME, or "
            "NAME and NAME_mask, as .png or .tif."
        )
    lonely = sorted(images.keys() - masks.keys())
    if lonely:
        raise InputError(f"{images[lonely[0]]} has no mask: add one, or take the image out.")
    values: set[int] = set()
    objects = False
    for name, path in masks.items():
        mask = _read_mask(path)
        if mask.shape != as_image(images[name]).shape[:2]:
            raise InputError(f"{path} differs in size from its image: crop one of them.")
        values |= set(np.unique(mask).tolist())
        objects = objects or mask.dtype != np.uint8
    binary = values <= {0, IGNORED} and IGNORED in values
    numbers = [1] if objects or binary else sorted(values - {0, IGNORED})
    kind: Literal["instance", "semantic"] = "instance" if objects and not binary else "semantic"
    return PairDataset(
        root=folder,
        name=folder.resolve().name,
        title=folder.resolve().name,
        kind=kind,
        classes={number: f"class {number}" for number in numbers},
        ids=tuple(sorted(images)),
        sequences={},
        image_files=images,
        mask_files=masks,
        binary=binary,
    )


def _pairs_in(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    images = next((folder / n for n in IMAGE_FOLDERS if (folder / n).is_dir()), None)
    masks = next((folder / n for n in MASK_FOLDERS if (folder / n).is_dir()), None)
    if images is not None and masks is not None:
        return _pictures(images), {_bare(name): path for name, path in _pictures(masks).items()}
    pictures = _pictures(folder)
    marked = {name: path for name, path in pictures.items() if _bare(name) != name}
    plain = {name: path for name, path in pictures.items() if name not in marked}
    return (plain if marked else {}), {_bare(name): path for name, path in marked.items()}


def _pictures(folder: Path) -> dict[str, Path]:
    files: Iterable[Path] = sorted(folder.iterdir())
    return {path.stem: path for path in files if path.suffix.lower() in SUFFIXES}


def _bare(name: str) -> str:
    return next((name.removesuffix(e) for e in ENDINGS if name.endswith(e)), name)


def as_image(path: Path) -> NDArray[np.uint8]:
    """Read an image, shape (Y, X, 1 or 3); other depths than 8 bits are scaled by percentiles.

    Raises
    ------
    InputError
        If the file cannot be read, or holds no single image.
    """
    image = _read(path)
    if image.ndim == 3 and image.shape[-1] in (2, 4):
        image = image[..., : 3 if image.shape[-1] == 4 else 1]  # without alpha
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise InputError(f"{path} holds no single image but an array of shape {image.shape}.")
    if image.dtype == np.uint8:
        return image
    low, high = np.percentile(image, PERCENTILES)
    scaled = (image.astype(np.float64) - low) / max(high - low, 1e-9)
    return np.asarray((255 * scaled).clip(0, 255), dtype=np.uint8)


def _read_mask(path: Path) -> NDArray[Any]:
    mask = _read(path)
    if mask.dtype == bool:
        mask = mask.astype(np.uint8)
    if mask.ndim != 2 or mask.dtype.kind not in "ui" or mask.min(initial=0) < 0:
        raise InputError(f"{path} is no mask: it must hold a whole number for every pixel.")
    return mask


def _read(path: Path) -> NDArray[Any]:
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            return np.asarray(tifffile.imread(path))
        with Image.open(path) as image:
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError, tifffile.TiffFileError) as error:
        raise InputError(f"{path} cannot be read as an image: {error}.") from None
