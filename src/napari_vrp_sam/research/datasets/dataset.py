"""Segmentation data sets on disk: one folder each, images beside masks, described by `meta.json`.

```
NAME/images/ID.png|jpg   8-bit, gray or RGB
NAME/masks/ID.png        semantic: class id, 0 background, 255 ignored; instance: 16-bit object ids
NAME/meta.json           title, kind, layout, classes; for stacks `sequences` {name: [ids in order]}
```

A folder of such data sets may hold an `index.json`, which tells what each is for (`use`: train or
evaluate). The environment variable `VRP_SAM_DATA` names that folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.errors import InputError

DATA_VARIABLE = "VRP_SAM_DATA"


@dataclass(frozen=True)
class Dataset:
    """One data set; images and masks are read when asked for.

    Attributes
    ----------
    root : Path
        The data set's folder.
    name, title : str
    kind : {"semantic", "instance"}
        What the values of the masks mean: classes or single objects.
    classes : mapping of int to str
        Names of the classes; objects of an instance data set are all of its one class.
    ids : tuple of str
        Every image that has a mask, sorted.
    sequences : mapping of str to tuple of str
        Images in the order of z or time; empty for a set of unordered images.
    license : str
        As its `meta.json` states it.
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
        """Read a data set's description; no image is read yet.

        Raises
        ------
        InputError
            If the folder is missing, has no readable `meta.json` or no image with a mask.
        """
        root = Path(folder)
        try:
            meta = json.loads((root / "meta.json").read_text(encoding="utf-8"))
            kind = meta["kind"]
            classes = {int(key): str(name) for key, name in meta["classes"].items()}
            sequences = {
                name: tuple(map(str, ids)) for name, ids in (meta.get("sequences") or {}).items()
            }
        except FileNotFoundError:
            raise InputError(f"{root} is no data set: it has no meta.json.") from None
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise InputError(f"{root / 'meta.json'} cannot be read: {error!r}.") from None
        if kind not in ("semantic", "instance"):
            raise InputError(f"{root / 'meta.json'}: kind is {kind!r}, not semantic or instance.")
        if kind == "instance":
            classes = {1: next(iter(classes.values()), "object")}
        masks = {path.stem for path in (root / "masks").glob("*.png")}
        images = {path.stem for path in (root / "images").glob("*")}
        missing = {item for ids in sequences.values() for item in ids} - (masks & images)
        if missing:
            raise InputError(f"{root}: frame {min(missing)!r} lacks its image or its mask.")
        if not masks & images:
            raise InputError(f"{root} holds no image with a mask (images/ID.png, masks/ID.png).")
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
        """An image, shape (Y, X, C) with 1 or 3 channels, uint8."""
        for suffix in (".png", ".jpg"):
            path = self.root / "images" / (image_id + suffix)
            if path.exists():
                image = _read(path).astype(np.uint8, copy=False)
                return image[..., None] if image.ndim == 2 else image[..., :3]
        raise InputError(f"{self.root} has no image {image_id!r}.")

    def mask(self, image_id: str) -> NDArray[Any]:
        """A mask as stored, shape (Y, X): class ids (255 ignored) or object ids."""
        return _read(self.root / "masks" / f"{image_id}.png")

    def labels(self, image_id: str) -> NDArray[np.uint8]:
        """Classes, shape (Y, X): 0 background, 255 ignored; objects of an instance set are 1."""
        mask = self.mask(image_id)
        # Object 255 of an instance mask is an object like any other, not an ignored pixel.
        return (mask > 0).astype(np.uint8) if self.kind == "instance" else mask.astype(np.uint8)

    def groups(self, count: int = 3, size: int = 7, seed: int = 0) -> dict[str, tuple[str, ...]]:
        """What stands for a stack: the sequences or, for unordered images, random groups.

        Parameters
        ----------
        count, size : int
            Number of random groups, and images in each (fewer where the set is smaller).
        seed : int
            Of the random draw, which is without replacement within a group.

        Returns
        -------
        dict of str to tuple of str
            Image ids in order.
        """
        if self.sequences:
            return dict(self.sequences)
        random = np.random.default_rng(seed)
        return {
            f"group-{index}": tuple(str(item) for item in random.permutation(self.ids)[:size])
            for index in range(count)
        }


def _read(path: Path) -> NDArray[Any]:
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} cannot be read as an image: {error}.") from None
