"""Datasets for training, with the segmentation tasks that they offer."""

from __future__ import annotations

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
from napari_vrp_sam.research.datasets.open import read_index

_MIN_PIXELS = 60


@dataclass(frozen=True)
class SegmentationTask:
    """One class within frames that belong together.

    Attributes
    ----------
    value : int, optional
        Mask value of the class; None for all objects together.
    present, absent : tuple of str
        Frames with and without the class, in order.
    ordered : bool
        True if the frames are slices or time points, so that neighbours are similar.
    tracked : bool
        True if the class is a single object, which only its position distinguishes from others.
    """

    value: int | None
    present: tuple[str, ...]
    absent: tuple[str, ...]
    ordered: bool
    tracked: bool


class TrainingDataset:
    """A dataset that keeps masks and images in memory.

    Parameters
    ----------
    dataset : Dataset

    Raises
    ------
    InputError
        If the dataset is reserved for evaluation, see `check_trainable`.
    """

    def __init__(self, dataset: Dataset) -> None:
        check_trainable(dataset)
        self.dataset = dataset
        self.name = dataset.name
        self._images: dict[str, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.dataset.ids)

    @cached_property
    def masks(self) -> dict[str, NDArray[Any]]:
        """Masks as stored, by frame."""
        return {item: self.dataset.mask(item) for item in self.dataset.ids}

    @cached_property
    def tasks(self) -> list[SegmentationTask]:
        """Tasks for each class of each sequence; objects with consistent ids are classes, too."""
        instance = self.dataset.kind == "instance"
        ordered = bool(self.dataset.sequences)
        groups = self.dataset.sequences or {"": self.dataset.ids}
        tasks = []
        for frames in groups.values():
            found: dict[int | None, list[str]] = defaultdict(list)
            for item in frames:
                for value in self._values(item, merged=instance and not ordered):
                    found[value].append(item)
            for value, present in found.items():
                absent = tuple(sorted(set(frames) - set(present)))
                if len(present) > 1:
                    tasks.append(
                        SegmentationTask(
                            value, tuple(present), absent, ordered, instance and ordered
                        )
                    )
        return tasks

    def image(self, item: str) -> NDArray[np.uint8]:
        """Return a frame, shape (Y, X, 1 or 3)."""
        if item not in self._images:
            self._images[item] = self.dataset.image(item)
        return self._images[item]

    def size(self, item: str) -> tuple[int, int]:
        """Return the height and width of a frame."""
        height, width = self.masks[item].shape
        return height, width

    def labels(self, item: str, task: SegmentationTask) -> NDArray[np.uint8]:
        """Return a task's mask, shape (Y, X): 1 on the class, 0 elsewhere, 255 ignored."""
        mask = self.masks[item]
        labels = (mask > 0 if task.value is None else mask == task.value).astype(np.uint8)
        if self.dataset.kind == "semantic":
            labels[mask == IGNORED] = IGNORED
        return labels

    def _values(self, item: str, *, merged: bool) -> list[int | None]:
        mask = self.masks[item]
        if merged:
            return [None] if np.count_nonzero(mask) >= _MIN_PIXELS else []
        values, counts = np.unique(mask, return_counts=True)
        excluded = {0, IGNORED} if self.dataset.kind == "semantic" else {0}
        return [
            int(value)
            for value, count in zip(values, counts, strict=True)
            if value not in excluded and count >= _MIN_PIXELS
        ]


def check_trainable(dataset: Dataset) -> None:
    """Raise InputError if an index reserves the dataset for evaluation.

    Evaluation of a model on data that it was trained on would be meaningless. The dataset is looked
    up by folder and by name, in the index beside it and in that of `VRP_SAM_DATA`, so that copies
    and links are detected. Datasets that are in no index can be trained on.
    """
    root = dataset.root.resolve()
    indices = {root.parent / "index.json", dataset.root.parent / "index.json"}
    if os.environ.get(DATA_VARIABLE):
        indices.add(Path(os.environ[DATA_VARIABLE]) / "index.json")
    for path in sorted(indices):
        uses = read_index(path)
        for name in (root.name, dataset.root.name, dataset.name):
            if uses.get(name, "train") != "train":
                raise InputError(
                    f"{dataset.name} is reserved for {uses[name]!r} and must not be trained on: "
                    "choose datasets whose use is 'train'."
                )
