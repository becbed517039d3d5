"""The benchmarks of few-shot segmentation, Pascal-5i and COCO-20i, in their published layouts.

Each splits the classes of a data set into four folds. What is trained on the classes of three folds
is measured on those of the fourth, the novel ones, which it has never been told of.
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

LEAST_PIXELS = 2 * 32 * 32
"""Of a class, for an image to count as one that shows it: the published lists leave out the others
(Shaban et al., BMVC 2017)."""

Split = Literal["train", "test"]
"""Images to learn from, and those to be measured on."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """One of the things that a benchmark consists of.

    Attributes
    ----------
    path : Path
        A file or a folder.
    found, expected : int
        Files in it, or 1 for a file; so many are published.
    source : str
        Where to get it.
    """

    path: Path
    found: int
    expected: int
    source: str

    @property
    def whole(self) -> bool:
        """Whether all of it is there."""
        return self.found >= self.expected


class FewShotSet(ABC):
    """A data set of which each image tells which classes are on it.

    Parameters
    ----------
    root : Path
        Folder of the data.
    cache_folder : Path, optional
        Where to keep which classes are on which images, which takes minutes to find out.

    Attributes
    ----------
    name : str
    class_names : tuple of str
        Class 1 is the first.
    least_pixels : int
        Of a class, on an image that shows it.
    evenly : bool
        Whether episodes draw classes evenly; otherwise they go through the images, and draw one of
        the classes on each.
    """

    name: str
    class_names: tuple[str, ...]
    least_pixels = LEAST_PIXELS
    evenly = True

    def __init__(self, root: str | os.PathLike[str], cache_folder: Path | None = None) -> None:
        self.root = Path(root)
        self._cache_folder = cache_folder
        self._areas: dict[Split, dict[str, dict[int, int]]] = {}

    @abstractmethod
    def parts(self) -> list[Part]:
        """What belongs to it, and how much of that is there."""

    @abstractmethod
    def novel(self, fold: int) -> tuple[int, ...]:
        """Classes of a fold, 0..3, ascending.

        Raises
        ------
        InputError
            If there is no such fold.
        """

    @abstractmethod
    def ids(self, split: Split) -> Sequence[str]:
        """Images of a split, in order.

        Raises
        ------
        InputError
            If they are not there.
        """

    @abstractmethod
    def image(self, split: Split, image_id: str) -> NDArray[np.uint8]:
        """An image, shape (Y, X, 3)."""

    @abstractmethod
    def mask(self, split: Split, image_id: str, class_id: int) -> NDArray[np.uint8]:
        """Where a class is, shape (Y, X): 1, elsewhere 0, and 255 where nobody knows."""

    @abstractmethod
    def areas_on(self, split: Split, image_id: str) -> dict[int, int]:
        """Pixels of each class on an image that shows any."""

    def base(self, fold: int) -> tuple[int, ...]:
        """Classes of the other folds, to learn from."""
        novel = self.novel(fold)
        return tuple(c for c in range(1, len(self.class_names) + 1) if c not in novel)

    def novel_to(self, training: str, fold: int) -> tuple[int, ...]:
        """Classes that training on a fold of a benchmark, this or another, has not seen.

        Raises
        ------
        InputError
            If it is another one that shares no classes with this.
        """
        if training != self.name:
            raise InputError(f"What of {self.name} is novel to {training} is not known here.")
        return self.novel(fold)

    def showing(self, split: Split, progress: Progress | None = None) -> dict[int, tuple[str, ...]]:
        """Images of each class.

        Parameters
        ----------
        split : {"train", "test"}
        progress : callable, optional
            Told how far it is.
        """
        found: dict[int, list[str]] = defaultdict(list)
        for image_id, areas in self.areas(split, progress).items():
            for class_id, pixels in areas.items():
                if pixels >= self.least_pixels:
                    found[class_id].append(image_id)
        return {class_id: tuple(found[class_id]) for class_id in sorted(found)}

    def areas(self, split: Split, progress: Progress | None = None) -> dict[str, dict[int, int]]:
        """Pixels of each class on each image.

        Parameters are those of `showing`.
        """
        if split not in self._areas:
            self._areas[split] = self._stored(split) or self._measured(split, progress)
        return self._areas[split]

    def _stored(self, split: Split) -> dict[str, dict[int, int]] | None:
        file = self._file(split)
        try:
            areas = json.loads(file.read_text("utf-8"))["areas"] if file else {}
            if list(areas) != list(self.ids(split)):
                return None  # of other data
            return {name: {int(key): int(n) for key, n in of.items()} for name, of in areas.items()}
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return None

    def _measured(self, split: Split, progress: Progress | None) -> dict[str, dict[int, int]]:
        areas = {}
        ids = self.ids(split)
        for number, image_id in enumerate(ids):
            if progress and number % 100 == 0:
                progress(f"Looking for classes: image {number} of {len(ids)}")
            areas[image_id] = dict(sorted(self.areas_on(split, image_id).items()))
        if file := self._file(split):
            write_json(file, {"areas": areas})
        return areas

    def _file(self, split: Split) -> Path | None:
        return self._cache_folder and self._cache_folder / f"{self.name}-{split}.json"

    def _check_fold(self, fold: int) -> None:
        if not 0 <= fold < FOLDS:
            raise InputError(f"There is no fold {fold}: {self.name} has 0, 1, 2 and 3.")


def counts(labels: NDArray[Any]) -> dict[int, int]:
    """How many pixels each label has."""
    values, pixels = np.unique(labels, return_counts=True)
    return dict(zip(values.tolist(), pixels.tolist(), strict=True))
