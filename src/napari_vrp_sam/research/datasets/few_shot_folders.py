"""Any data set as episodes: all its classes are new to a model that was not trained on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.datasets.few_shot_sets import FewShotSet, Part, Split, counts


class FolderSet(FewShotSet):
    """A data set with fold 0 alone, that of all its classes, and no images to learn from.

    Parameters
    ----------
    dataset : Dataset
        Semantic, or of objects of one class.

    Attributes
    ----------
    name : str
    least_pixels : int
        1: objects under a microscope are small.
    class_names : tuple of str
        In the order of their values in the masks, which may have gaps; class 1 is the first.
    """

    least_pixels = 1

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset.root)
        self.name = dataset.name
        self._dataset = dataset
        self._values = sorted(dataset.classes)
        self.class_names = tuple(dataset.classes[value] for value in self._values)

    def __len__(self) -> int:
        return len(self._dataset.ids)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """The images in order, as if they were frames."""
        return self.image("test", self._dataset.ids[index])

    def parts(self) -> list[Part]:
        """The folder alone."""
        return [Part(self.root, len(self), len(self), str(self.root))]

    def novel(self, fold: int) -> tuple[int, ...]:
        """All classes."""
        if fold != 0:
            raise InputError(f"There is no fold {fold}: {self.name} has 0 alone.")
        return tuple(range(1, len(self.class_names) + 1))

    def ids(self, split: Split) -> Sequence[str]:
        """All images are to be measured on."""
        return self._dataset.ids if split == "test" else ()

    def image(self, split: Split, image_id: str) -> NDArray[np.uint8]:  # noqa: ARG002 # one split
        """An image, shape (Y, X, 3); a gray one thrice."""
        image = self._dataset.image(image_id)
        return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image

    def mask(self, split: Split, image_id: str, class_id: int) -> NDArray[np.uint8]:  # noqa: ARG002
        """Where a class is, shape (Y, X): 1, elsewhere 0, and 255 where nobody knows."""
        labels = self._dataset.labels(image_id)
        mask: NDArray[np.uint8] = (labels == self._values[class_id - 1]).astype(np.uint8)
        mask[labels == IGNORED] = IGNORED
        return mask

    def areas_on(self, split: Split, image_id: str) -> dict[int, int]:  # noqa: ARG002
        """Pixels of each class on an image that shows any."""
        counted = counts(self._dataset.labels(image_id))
        return {n: counted[v] for n, v in enumerate(self._values, start=1) if v in counted}
