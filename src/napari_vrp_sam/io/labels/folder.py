"""Labels of a stack as a folder of files, one for each frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.io.images.opening import open_image
from napari_vrp_sam.io.images.stacks import read_labels
from napari_vrp_sam.io.labels.files import write_planes
from napari_vrp_sam.io.metadata import ImageMetadata


def folder_files(
    folder: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    names: Sequence[str] = (),
    metadata: ImageMetadata | None = None,
) -> list[Path]:
    """Return the paths of the files that a `FolderWriter` writes, one for each frame.

    Parameters
    ----------
    folder : Path
    shape : tuple of int
        Leading axes + (Y, X).
    dtype : dtype
        Unsigned dtype of the labels.
    names : sequence of str
        Names of the frames without suffix (default: numbers).
    metadata : ImageMetadata, optional
        Calibration of the frames, which only TIFF can store.
    """
    count = int(np.prod(shape[:-2], dtype=int))
    width = len(str(count - 1))
    calibrated = metadata is not None and (metadata.pixel_size or metadata.transform)
    suffix = ".png" if dtype.itemsize <= 2 and not calibrated else ".tif"
    stems = names or [f"{index:0{width}}" for index in range(count)]
    return [folder / (stem + suffix) for stem in stems]


class FolderWriter:
    """Writer of label files, one for each frame.

    Parameters
    ----------
    files : sequence of Path
        One file for each frame.
    dtype : dtype
    metadata : ImageMetadata, optional
        Calibration of the frames.
    sources : sequence of Path
        Image files of the frames, whose metadata are used instead if these are given.
    """

    def __init__(
        self,
        files: Sequence[Path],
        dtype: np.dtype[Any],
        metadata: ImageMetadata | None = None,
        sources: Sequence[Path] = (),
    ) -> None:
        self._files = files
        self._dtype = dtype
        self._metadata = metadata
        self._sources = sources

    def write(self, index: int, labels: NDArray[Any]) -> None:
        """Write the labels of a frame."""
        metadata = open_image(self._sources[index]).metadata if self._sources else self._metadata
        write_planes(
            self._files[index],
            lambda _plane, rows: np.asarray(labels[rows]).astype(self._dtype, copy=False),
            labels.shape,
            self._dtype,
            "YX",
            metadata,
        )

    def read(self, index: int) -> NDArray[Any]:
        """Read the labels of a frame that was written."""
        return np.asarray(read_labels(self._files[index]))

    def close(self) -> None:
        """Do nothing: each frame is complete when it is written."""

    def discard(self) -> None:
        """Do nothing: no frame was written."""
