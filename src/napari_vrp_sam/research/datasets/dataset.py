"""Segmentation datasets on disk: a folder each, with images, masks and a `meta.json`.

```
NAME/images/ID.png|jpg   8-bit, gray or RGB
NAME/masks/ID.png        semantic: class ids, 0 background, 255 ignored; instance: object ids
NAME/meta.json           title, kind, classes; for stacks `sequences` {name: [ids in order]}
```

A folder of such datasets, named by the environment variable `VRP_SAM_DATA`, may contain an
`index.json` that states the `use` of each dataset: train or evaluate.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.errors import InputError

DATA_VARIABLE = "VRP_SAM_DATA"


@dataclass(frozen=True)
class Dataset:
    """A dataset whose images and masks are read on access.

    Attributes
    ----------
    root : Path
        Folder of the dataset.
    name, title : str
    kind : {"semantic", "instance"}
        Meaning of the mask values: classes or objects.
    classes : mapping of int to str
        Names of the classes; an instance dataset has a single class.
    ids : tuple of str
        Ids of all images with a mask, sorted.
    sequences : mapping of str to tuple of str
        Image ids in order of z or time; empty for unordered images.
    license : str
    """

    root: Path
    name: str
    title: str
    kind: Literal["semantic", "instance"]
    classes: Mapping[int, str]
    ids: tuple[str, ...]
    sequences: Mapping[str, tuple[str, ...]]
    license: str = "unstated"

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Dataset:
        """Read the description of a dataset, but no images.

        Raises
        ------
        InputError
            If the folder has no readable `meta.json` or no image with a mask.
        """
        root = Path(folder)
        file = root / "meta.json"
        try:
            meta = json.loads(file.read_text(encoding="utf-8"))
            kind = meta["kind"]
            classes = {int(key): str(name) for key, name in meta["classes"].items()}
            sequences = {
                name: tuple(map(str, ids)) for name, ids in (meta.get("sequences") or {}).items()
            }
        except FileNotFoundError:
            raise InputError(f"{root} is not a dataset: it has no meta.json.") from None
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise InputError(f"{file} cannot be read: {error!r}.") from None
        if kind not in ("semantic", "instance"):
            raise InputError(f"{file}: kind is {kind!r}; use 'semantic' or 'instance'.")
        if kind == "instance":
            classes = {1: next(iter(classes.values()), "object")}
        masks = {path.stem for path in (root / "masks").glob("*.png")}
        images = {path.stem for path in (root / "images").glob("*")}
        missing = {item for ids in sequences.values() for item in ids} - (masks & images)
        if missing:
            raise InputError(f"{root}: frame {min(missing)!r} has no image or no mask.")
        if not masks & images:
            raise InputError(f"{root} has no image with a mask (images/ID.png, masks/ID.png).")
        return cls(
            root=root,
            name=str(meta.get("name", root.name)),
            title=str(meta.get("title", root.name)),
            kind=kind,
            classes=classes,
            ids=tuple(sorted(masks & images)),
            sequences=sequences,
            license=str(meta.get("license", "unstated")),
        )

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """Read an image, shape (Y, X, C) with 1 or 3 channels, uint8."""
        for suffix in (".png", ".jpg"):
            path = self.root / "images" / (image_id + suffix)
            if path.exists():
                image = read_array(path).astype(np.uint8, copy=False)
                return image[..., None] if image.ndim == 2 else image[..., :3]
        raise InputError(f"{self.root} has no image {image_id!r}.")

    def mask(self, image_id: str) -> NDArray[Any]:
        """Read a mask as stored, shape (Y, X): class ids (255 ignored) or object ids."""
        return read_array(self.root / "masks" / f"{image_id}.png")

    def labels(self, image_id: str) -> NDArray[np.uint8]:
        """Read class labels, shape (Y, X): 0 background, 255 ignored; all objects are class 1."""
        mask = self.mask(image_id)
        # In instance masks 255 is an object id, not "ignored".
        return (mask > 0).astype(np.uint8) if self.kind == "instance" else mask.astype(np.uint8)

    def groups(self, count: int = 3, size: int = 7, seed: int = 0) -> dict[str, tuple[str, ...]]:
        """Return the sequences or, for unordered images, random groups of images.

        Parameters
        ----------
        count, size : int
            Number of random groups, and of images in each (fewer if the dataset is smaller).
        seed : int
            Seed of the groups, which are drawn without replacement.

        Returns
        -------
        dict of str to tuple of str
            Image ids in order.
        """
        if self.sequences:
            return dict(self.sequences)
        rng = np.random.default_rng(seed)
        return {
            f"group-{index}": tuple(str(item) for item in rng.permutation(self.ids)[:size])
            for index in range(count)
        }


def read_array(path: Path) -> NDArray[Any]:
    """Read an image file as stored; raise InputError if that fails."""
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            return np.asarray(tifffile.imread(path))
        with Image.open(path) as image:
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError, tifffile.TiffFileError) as error:
        raise InputError(f"{path} cannot be read as an image: {error}.") from None


def class_mask(labels: NDArray[Any], value: int) -> NDArray[np.uint8]:
    """Return 1 where labels equal a value, 255 where they are ignored, 0 elsewhere."""
    mask: NDArray[np.uint8] = (labels == value).astype(np.uint8)
    mask[labels == IGNORED] = IGNORED
    return mask
