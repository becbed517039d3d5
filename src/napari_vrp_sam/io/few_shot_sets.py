"""The benchmarks of few-shot segmentation, Pascal-5i and COCO-20i, in their published layouts.

Each splits the classes of a data set into four folds. What is trained on the classes of three folds
is measured on those of the fourth, the novel ones, which it has never been told of.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.atomic import write_json

FOLDS = 4

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
    """

    name: str
    class_names: tuple[str, ...]

    def __init__(self, root: str | os.PathLike[str], cache_folder: Path | None = None) -> None:
        self.root = Path(root)
        self._cache_folder = cache_folder
        self._shown: dict[Split, dict[int, tuple[str, ...]]] = {}

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
    def classes_on(self, split: Split, image_id: str) -> set[int]:
        """Classes of which an image shows any pixel."""

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
        if split not in self._shown:
            self._shown[split] = self._stored(split) or self._searched(split, progress)
        return self._shown[split]

    def _stored(self, split: Split) -> dict[int, tuple[str, ...]] | None:
        file = self._file(split)
        try:
            content = json.loads(file.read_text("utf-8")) if file else {}
            if content.get("ids") != list(self.ids(split)):
                return None  # of other data
            return {int(key): tuple(ids) for key, ids in content["showing"].items()}
        except (OSError, ValueError, KeyError, AttributeError):
            return None

    def _searched(self, split: Split, progress: Progress | None) -> dict[int, tuple[str, ...]]:
        found: dict[int, list[str]] = defaultdict(list)
        ids = self.ids(split)
        for number, image_id in enumerate(ids):
            if progress and number % 100 == 0:
                progress(f"Looking for classes: image {number} of {len(ids)}")
            for class_id in sorted(self.classes_on(split, image_id)):
                found[class_id].append(image_id)
        showing = {class_id: tuple(found[class_id]) for class_id in sorted(found)}
        if file := self._file(split):
            write_json(file, {"ids": list(ids), "showing": showing})
        return showing

    def _file(self, split: Split) -> Path | None:
        return self._cache_folder and self._cache_folder / f"{self.name}-{split}.json"

    def _check_fold(self, fold: int) -> None:
        if not 0 <= fold < FOLDS:
            raise InputError(f"There is no fold {fold}: {self.name} has 0, 1, 2 and 3.")


def open_few_shot(
    name: str, root: str | os.PathLike[str], cache_folder: Path | None = None
) -> FewShotSet:
    """Open a benchmark by its name.

    Parameters
    ----------
    name : {"pascal5i", "coco20i"}
    root : str or path
    cache_folder : Path, optional
        See `FewShotSet`.

    Raises
    ------
    InputError
        If there is no such benchmark.
    """
    sets = _known()
    if name not in sets:
        raise InputError(f"There is no benchmark '{name}': choose from {', '.join(sets)}.")
    return sets[name](root, cache_folder)


@cache
def _known() -> Mapping[str, type[FewShotSet]]:
    from napari_vrp_sam.io.coco20i import Coco20i
    from napari_vrp_sam.io.pascal5i import Pascal5i

    return {kind.name: kind for kind in (Pascal5i, Coco20i)}
