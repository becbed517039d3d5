"""Few-shot episodes from any dataset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.research.datasets.dataset import Dataset, class_mask
from napari_vrp_sam.research.datasets.few_shot_sets import (
    FewShotDataset,
    RequiredFiles,
    Split,
    count_labels,
)


class SingleFoldDataset(FewShotDataset):
    """A dataset whose classes are all novel: they form fold 0, and there are no training images.

    Parameters
    ----------
    dataset : Dataset

    Attributes
    ----------
    name : str
    min_pixels : int
        1, because objects in micrographs are small.
    class_names : tuple of str
        Names in the order of the values in the masks, which may have gaps.
    """

    min_pixels = 1

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset.root)
        self.name = dataset.name
        self._dataset = dataset
        self._values = sorted(dataset.classes)
        self.class_names = tuple(dataset.classes[value] for value in self._values)

    def __len__(self) -> int:
        return len(self._dataset.ids)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Read an image by its index, as if the dataset were a stack."""
        return self.image("test", self._dataset.ids[index])

    def required_files(self) -> list[RequiredFiles]:
        """List the dataset's folder alone."""
        return [RequiredFiles(self.root, len(self), len(self), str(self.root))]

    def novel_classes(self, fold: int) -> tuple[int, ...]:
        """Return all classes."""
        self._check_fold(fold, folds=1)
        return tuple(range(1, len(self.class_names) + 1))

    def image_ids(self, split: Split) -> Sequence[str]:
        """Return all images as the test split."""
        return self._dataset.ids if split == "test" else ()

    def image(self, split: Split, image_id: str) -> NDArray[np.uint8]:  # noqa: ARG002 # one split
        """Read an image, shape (Y, X, 3); gray values are repeated."""
        image = self._dataset.image(image_id)
        return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image

    def mask(self, split: Split, image_id: str, class_id: int) -> NDArray[np.uint8]:  # noqa: ARG002
        """See `FewShotDataset.mask`."""
        return class_mask(self._dataset.labels(image_id), self._values[class_id - 1])

    def image_class_areas(self, split: Split, image_id: str) -> dict[int, int]:  # noqa: ARG002
        """See `FewShotDataset.image_class_areas`."""
        areas = count_labels(self._dataset.labels(image_id))
        return {n: areas[v] for n, v in enumerate(self._values, start=1) if v in areas}
