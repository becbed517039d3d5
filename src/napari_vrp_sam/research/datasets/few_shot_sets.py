"""Base class of datasets for few-shot segmentation.

The benchmarks divide the classes of a dataset into four folds. A model trained on the classes of
three folds (base classes) is evaluated on those of the fourth (novel classes).
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import write_json

FOLDS = 4

MIN_PIXELS = 2 * 32 * 32
"""Smallest area of a class for an image to be listed under it (Shaban et al., BMVC 2017)."""

Split = Literal["train", "test"]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class RequiredFiles:
    """A file or a folder of files that a benchmark consists of.

    Attributes
    ----------
    path : Path
    found, expected : int
        Numbers of files that exist and that were published; 0 or 1, and 1, for a single file.
    source : str
        Address of the download.
    """

    path: Path
    found: int
    expected: int
    source: str

    @property
    def complete(self) -> bool:
        """True if no file is missing."""
        return self.found >= self.expected


@dataclass(frozen=True)
class FewShotEpisode:
    """Annotated images of a class, and another image that contains it.

    Attributes
    ----------
    class_id : int
    references : tuple of str
        Image ids.
    target : str
        Image id.
    number : int
        Index of the episode; seeds its simulated annotations.
    """

    class_id: int
    references: tuple[str, ...]
    target: str
    number: int


class FewShotDataset(ABC):
    """A dataset whose images are listed by class.

    Parameters
    ----------
    root : Path
        Folder of the data.
    cache_folder : Path, optional
        Folder for the classes of all images, which take minutes to determine.

    Attributes
    ----------
    name : str
    class_names : tuple of str
        Names of classes 1, 2, ...
    min_pixels : int
        Smallest area of a class for an image to be listed under it.
    balanced : bool
        True if episodes draw all classes equally often; otherwise they iterate over the images and
        draw one of the classes of each.
    """

    name: str
    class_names: tuple[str, ...]
    min_pixels = MIN_PIXELS
    balanced = True

    def __init__(self, root: str | os.PathLike[str], cache_folder: Path | None = None) -> None:
        self.root = Path(root)
        self._cache_folder = cache_folder
        self._areas: dict[Split, dict[str, dict[int, int]]] = {}

    @abstractmethod
    def required_files(self) -> list[RequiredFiles]:
        """List the files of the benchmark, and how many of them exist."""

    @abstractmethod
    def novel_classes(self, fold: int) -> tuple[int, ...]:
        """Return the classes of a fold, 0..3, in ascending order; raise InputError for others."""

    @abstractmethod
    def image_ids(self, split: Split) -> Sequence[str]:
        """Return the ids of a split's images in order; raise InputError if they are missing."""

    @abstractmethod
    def image(self, split: Split, image_id: str) -> NDArray[np.uint8]:
        """Read an image, shape (Y, X, 3)."""

    @abstractmethod
    def mask(self, split: Split, image_id: str, class_id: int) -> NDArray[np.uint8]:
        """Read the mask of a class, shape (Y, X): 1 inside, 0 outside, 255 ignored."""

    @abstractmethod
    def image_class_areas(self, split: Split, image_id: str) -> dict[int, int]:
        """Return the area in pixels of each class that an image contains."""

    def base_classes(self, fold: int) -> tuple[int, ...]:
        """Return the classes of the other folds, which are trained on."""
        novel = self.novel_classes(fold)
        return tuple(c for c in range(1, len(self.class_names) + 1) if c not in novel)

    def unseen_classes(self, training: str, fold: int) -> tuple[int, ...]:
        """Return the classes that a model trained on a fold of a benchmark has not seen.

        Raises
        ------
        InputError
            If the classes of that benchmark cannot be compared with those of this one.
        """
        if training != self.name:
            raise InputError(f"The classes of {self.name} and {training} cannot be compared.")
        return self.novel_classes(fold)

    def images_by_class(
        self, split: Split, progress: Progress | None = None
    ) -> dict[int, tuple[str, ...]]:
        """Return the ids of the images that contain each class; see `class_areas`."""
        found: dict[int, list[str]] = defaultdict(list)
        for image_id, areas in self.class_areas(split, progress).items():
            for class_id, pixels in areas.items():
                if pixels >= self.min_pixels:
                    found[class_id].append(image_id)
        return {class_id: tuple(found[class_id]) for class_id in sorted(found)}

    def class_areas(
        self, split: Split, progress: Progress | None = None
    ) -> dict[str, dict[int, int]]:
        """Return the area of each class on each image of a split.

        Parameters
        ----------
        split : {"train", "test"}
        progress : callable, optional
            Called with a message now and then.
        """
        if split not in self._areas:
            self._areas[split] = self._read_areas(split) or self._compute_areas(split, progress)
        return self._areas[split]

    def _read_areas(self, split: Split) -> dict[str, dict[int, int]] | None:
        file = self._cache_file(split)
        try:
            areas = json.loads(file.read_text("utf-8"))["areas"] if file else {}
            if list(areas) != list(self.image_ids(split)):
                return None  # computed for other data
            return {name: {int(key): int(n) for key, n in of.items()} for name, of in areas.items()}
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return None

    def _compute_areas(self, split: Split, progress: Progress | None) -> dict[str, dict[int, int]]:
        areas = {}
        ids = self.image_ids(split)
        for number, image_id in enumerate(ids):
            if progress and number % 100 == 0:
                progress(f"Searching for classes: image {number} of {len(ids)}")
            areas[image_id] = dict(sorted(self.image_class_areas(split, image_id).items()))
        if file := self._cache_file(split):
            write_json(file, {"areas": areas})
        return areas

    def _cache_file(self, split: Split) -> Path | None:
        return self._cache_folder and self._cache_folder / f"{self.name}-{split}.json"

    def _check_fold(self, fold: int, folds: int = FOLDS) -> None:
        if not 0 <= fold < folds:
            available = ", ".join(map(str, range(folds)))
            raise InputError(f"There is no fold {fold} of {self.name}: choose from {available}.")


def count_labels(labels: NDArray[Any]) -> dict[int, int]:
    """Return the number of pixels of each label."""
    values, pixels = np.unique(labels, return_counts=True)
    return dict(zip(values.tolist(), pixels.tolist(), strict=True))
