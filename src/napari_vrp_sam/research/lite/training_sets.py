"""Training sets in memory, and the tasks ('segment this class') they offer."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import DATA_VARIABLE, Dataset

_MIN_PIXELS = 60


@dataclass(frozen=True)
class Task:
    """One class within frames that belong together.

    Attributes
    ----------
    value : int, optional
        Mask value of the class; None is every object.
    present, missing : tuple of str
        Frames with and without the class, in order.
    ordered : bool
        Whether the frames are slices or times, so that near frames are alike.
    follow : bool
        Whether the class is one object among its like, told apart by where it is.
    """

    value: int | None
    present: tuple[str, ...]
    missing: tuple[str, ...]
    ordered: bool
    follow: bool


class TrainingSet:
    """A data set whose masks are read once and whose frames are kept when read.

    Parameters
    ----------
    dataset : Dataset

    Raises
    ------
    InputError
        If an index of data sets reserves it for something else than training: weights that saw an
        evaluation set would make every figure measured on it worthless.
    """

    def __init__(self, dataset: Dataset) -> None:
        refuse_reserved(dataset)
        self.dataset = dataset
        self.name = dataset.name
        self._images: dict[str, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.dataset.ids)

    @cached_property
    def masks(self) -> dict[str, NDArray[Any]]:
        """All masks as stored, by frame."""
        return {item: self.dataset.mask(item) for item in self.dataset.ids}

    @cached_property
    def tasks(self) -> list[Task]:
        """Every class of every sequence; objects with consistent ids are classes of their own."""
        instance = self.dataset.kind == "instance"
        follow = instance and bool(self.dataset.sequences)
        groups = self.dataset.sequences or {"": self.dataset.ids}
        tasks = []
        for frames in groups.values():
            found: dict[int | None, list[str]] = defaultdict(list)
            for item in frames:
                for value in self._values(item, merged=instance and not follow):
                    found[value].append(item)
            for value, present in found.items():
                missing = tuple(sorted(set(frames) - set(present)))
                if len(present) > 1:
                    ordered = bool(self.dataset.sequences)
                    tasks.append(Task(value, tuple(present), missing, ordered, follow))
        return tasks

    def image(self, item: str) -> NDArray[np.uint8]:
        """A frame, shape (Y, X, 1 or 3)."""
        if item not in self._images:
            self._images[item] = self.dataset.image(item)
        return self._images[item]

    def size(self, item: str) -> tuple[int, int]:
        """Height and width of a frame."""
        height, width = self.masks[item].shape
        return height, width

    def labels(self, item: str, task: Task) -> NDArray[np.uint8]:
        """Where the task's class is, shape (Y, X): 1, elsewhere 0, and 255 where nobody knows."""
        mask = self.masks[item]
        inside = mask > 0 if task.value is None else mask == task.value
        labels = inside.astype(np.uint8)
        if self.dataset.kind == "semantic":
            labels[mask == IGNORED] = IGNORED
        return labels

    def _values(self, item: str, *, merged: bool) -> list[int | None]:
        mask = self.masks[item]
        if merged:
            return [None] if np.count_nonzero(mask) >= _MIN_PIXELS else []
        values, counts = np.unique(mask, return_counts=True)
        semantic = self.dataset.kind == "semantic"
        return [
            int(value)
            for value, count in zip(values, counts, strict=True)
            if value != 0 and not (semantic and value == IGNORED) and count >= _MIN_PIXELS
        ]


def refuse_reserved(dataset: Dataset) -> None:
    """Raise InputError if an index gives the data set another use than training.

    Looked up by folder and by name, in the index beside the data set and in that of `VRP_SAM_DATA`,
    so that a copy elsewhere is found out too. A set that no index names is the user's own.
    """
    root = dataset.root.resolve()
    indices = {root.parent / "index.json", dataset.root.parent / "index.json"}
    if os.environ.get(DATA_VARIABLE):
        indices.add(Path(os.environ[DATA_VARIABLE]) / "index.json")
    for path in sorted(indices):
        if not path.exists():
            continue
        try:
            uses = {entry["name"]: entry["use"] for entry in json.loads(path.read_text("utf-8"))}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read: {error!r}.") from None
        for name in (root.name, dataset.root.name, dataset.name):
            if uses.get(name, "train") != "train":
                raise InputError(
                    f"{dataset.name} is reserved for {uses[name]!r} and must not be trained on: "
                    "choose data sets whose use is 'train'."
                )
