"""Labels of a stack as a folder of files, one a frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.io.images.stacks import read_labels, write_labels


def folder_files(
    folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any], names: Sequence[str] = ()
) -> list[Path]:
    """The files that a writer makes in a folder, one for each frame.

    Parameters
    ----------
    folder : Path
    shape : tuple of int
        Leading axes + (Y, X).
    dtype : dtype
        Of the labels, unsigned.
    names : sequence of str
        Of the frames, without suffix; numbers unless given.
    """
    count = int(np.prod(shape[:-2], dtype=int))
    width = len(str(count - 1))
    suffix = ".png" if dtype.itemsize <= 2 else ".tif"
    stems = names or [f"{i:0{width}}" for i in range(count)]
    return [folder / (stem + suffix) for stem in stems]


class FolderWriter:
    """Writes each frame as soon as it comes.

    Parameters
    ----------
    files : sequence of Path
        One for each frame.
    dtype : dtype
    """

    def __init__(self, files: Sequence[Path], dtype: np.dtype[Any]) -> None:
        self._files = files
        self._dtype = dtype

    def write(self, index: int, labels: NDArray[Any]) -> None:
        """Take the labels of a frame."""
        write_labels(self._files[index], labels.astype(self._dtype), "YX")

    def read(self, index: int) -> NDArray[Any]:
        """Labels of a frame that was written."""
        return np.asarray(read_labels(self._files[index]))

    def close(self) -> None:
        """Every frame is where it belongs already."""

    def discard(self) -> None:
        """No frame ever came."""
