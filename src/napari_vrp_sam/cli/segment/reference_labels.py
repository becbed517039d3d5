"""Label images used as references by `vrp-sam segment`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import MAX_CLASSES
from napari_vrp_sam.cli.output_paths import same_file
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.lazy_stack import LazyArray


def read_reference(
    path: Path, image: Path, *, one_class: bool, keep: Collection[int] = ()
) -> ClassLabels:
    """Open the reference labels of an image; see `ClassLabels`.

    Raises
    ------
    InputError
        If they cannot be read as labels, or are the image itself.
    """
    from napari_vrp_sam.io.images.stacks import read_labels

    if same_file(path, image):
        raise InputError(f"{path} is the image itself: give its label image with --reference.")
    return ClassLabels(read_labels(path, image), path, one_class=one_class, keep=keep)


class ClassLabels(LazyArray):
    """Label image that checks, as it is read, that its values are classes, not objects.

    Parameters
    ----------
    labels : array of integers
        Any array with basic indexing; may be lazy.
    path : Path
        File of the labels, for error messages.
    one_class : bool
        Treat all labels as class 1.
    keep : collection of int
        Values that are not classes, such as that of the background; they stay as they are.
    """

    def __init__(
        self, labels: Any, path: Path, *, one_class: bool, keep: Collection[int] = ()
    ) -> None:
        self.shape = tuple(labels.shape)
        self.dtype = np.dtype(labels.dtype)
        self._labels = labels
        self._path = path
        self._one_class = one_class
        self._keep = sorted(keep)
        self._found: set[int] = set()

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        """Read a selection.

        Raises
        ------
        InputError
            If all selections so far contain too many classes.
        """
        labels: NDArray[Any] = np.asarray(self._labels[selection])
        if self._one_class:
            # Negative labels remain, and are refused.
            return np.where(np.isin(labels, self._keep), labels, np.minimum(labels, 1))
        self._found |= set(np.unique(labels).tolist()) - {0, *self._keep}
        if len(self._found) > MAX_CLASSES:
            raise InputError(
                f"{self._path} has {len(self._found)} different labels, more than {MAX_CLASSES}, "
                "but labels are classes, not objects: add --one-class if they number objects, or "
                "give a label image if it is a picture."
            )
        return labels
