"""Label images that `vrp-sam segment` learns from: each value a class, or all of them one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import MOST_CLASSES
from napari_vrp_sam.cli.segment.output_checks import same
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.lazy_stack import LazyArray


def read_reference(path: Path, image: Path, *, one_class: bool) -> ClassLabels:
    """Open the labels of an image.

    Parameters
    ----------
    path : Path
    image : Path
    one_class : bool
        Whether all that is marked is one class.

    Raises
    ------
    InputError
        If they cannot be read as labels, or are the image itself.
    """
    from napari_vrp_sam.io.images.stacks import read_labels

    if same(path, image):
        raise InputError(f"{path} is the image itself: give a label image of it with --reference.")
    return ClassLabels(read_labels(path, image), path, one_class=one_class)


class ClassLabels(LazyArray):
    """Labels that are looked at as they are read.

    Parameters
    ----------
    labels : array
        With basic indexing; lazy or not.
    path : Path
        Where they are from.
    one_class : bool
        Whether all that is marked is one class, of value 1.
    """

    def __init__(self, labels: Any, path: Path, *, one_class: bool) -> None:
        self.shape = tuple(labels.shape)
        self.dtype = np.dtype(labels.dtype)
        self._labels = labels
        self._path = path
        self._one_class = one_class
        self._found: set[int] = set()

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        """Read a part.

        Raises
        ------
        InputError
            If there are too many classes in all that was read.
        """
        labels: NDArray[Any] = np.asarray(self._labels[selection])
        if self._one_class:
            return np.asarray(np.minimum(labels, 1))  # what is negative stays, and is refused
        self._found |= set(np.unique(labels).tolist()) - {0}
        if len(self._found) > MOST_CLASSES:
            raise InputError(
                f"{self._path} holds {len(self._found)} different labels, more than "
                f"{MOST_CLASSES}, but labels are classes, not objects: add --one-class if they "
                "number objects, or give the label image instead of a picture."
            )
        return labels
