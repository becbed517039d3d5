"""Writers of label images, frame by frame."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import explain_write_errors
from napari_vrp_sam.io.images.frame_files import TIFF_SUFFIXES
from napari_vrp_sam.io.images.ome_zarr import SUFFIX as ZARR_SUFFIX
from napari_vrp_sam.io.images.ome_zarr import open_zarr
from napari_vrp_sam.io.labels.fallback import create_fallback_folder, keep_on_failure
from napari_vrp_sam.io.labels.files import write_labels
from napari_vrp_sam.io.labels.folder import FolderWriter, folder_files
from napari_vrp_sam.io.labels.ome_zarr import create_labels
from napari_vrp_sam.io.labels.tiff import write_pages

UNSUPPORTED_SUFFIXES = (
    ".bmp", ".csv", ".czi", ".gif", ".h5", ".hdf5", ".jp2", ".jpeg", ".jpg", ".json", ".lif",
    ".mrc", ".nd2", ".nii", ".npy", ".npz", ".nrrd", ".pdf", ".png", ".svg", ".tsv", ".txt",
    ".vrpsam", ".webp", ".xls", ".xlsx", ".zip",
)  # fmt: skip
"""Suffixes of other formats. Any other suffix is part of a folder's name: 2024.05.01_cells."""


class LabelWriter(Protocol):
    """Writer that accepts the labels of each frame, in any order."""

    def write(self, index: int, labels: NDArray[Any]) -> None:
        """Write the labels of a frame, indexed along the flattened leading axes."""
        ...

    def read(self, index: int) -> NDArray[Any]:
        """Read the labels of a frame that was written."""
        ...

    def close(self) -> None:
        """Complete the output; frames that were not written are 0 in a file, missing in a folder.

        Raises
        ------
        InputError
            If a file cannot be written. Its labels are kept as OME-Zarr, and the message says
            where.
        """
        ...

    def discard(self) -> None:
        """Remove an incomplete file or image; files of a folder stay."""
        ...


def label_writer(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axes: str,
    names: Sequence[str] = (),
    *,
    resume: bool = False,
) -> LabelWriter:
    """Return a writer for a path: OME-Zarr for .zarr, a file for .tif and .png, else a folder.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Leading axes + (Y, X).
    dtype : dtype
        Unsigned dtype of the labels.
    axes : str
        One letter for each axis of the labels.
    names : sequence of str
        Names of the files in a folder without suffix (default: numbers).
    resume : bool
        Add frames to an existing OME-Zarr with the same layout.

    Raises
    ------
    InputError
        If the format does not support the labels.
    """
    suffix = path.suffix.lower()
    if suffix == ZARR_SUFFIX:
        return ZarrLabelWriter(path, shape, dtype, axes, resume=resume)
    if suffix in TIFF_SUFFIXES or (suffix == ".png" and len(shape) == 2):
        return _FileWriter(path, shape, dtype, axes)
    if suffix in UNSUPPORTED_SUFFIXES and not path.is_dir():
        raise InputError(
            f"Labels cannot be written to {path.name}: choose a .tif file, .zarr, or a folder."
        )
    return FolderWriter(folder_files(path, shape, dtype, names), dtype)


class FrameWriter(Protocol):
    """Writer of labels or probabilities, frame by frame."""

    def write(self, index: int, frame: NDArray[Any], /) -> None: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102

    def discard(self) -> None: ...  # noqa: D102


def write_frames(writer: FrameWriter, frames: Iterable[tuple[int, NDArray[Any]]]) -> None:
    """Write frames, given as index and array, and complete the output.

    After an error, an incomplete file or image is removed; finished files of a folder stay.
    """
    try:
        for index, frame in frames:
            writer.write(index, frame)
    except BaseException:
        writer.discard()
        raise
    writer.close()


def write_label_frames(
    path: Path,
    frames: Iterable[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axes: str,
    names: Sequence[str] = (),
) -> None:
    """Write the labels of all frames, in their order; see `label_writer` and `write_frames`."""
    write_frames(label_writer(path, shape, dtype, axes, names), enumerate(frames))


def is_incremental(path: Path) -> bool:
    """Return whether labels at a path are written frame by frame instead of all at the end."""
    return path.suffix.lower() not in (*TIFF_SUFFIXES, ".png")


class ZarrLabelWriter:
    """Writer of OME-Zarr, frame by frame or region by region; several processes may share it.

    For the parameters, see `label_writer`.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        axes: str,
        *,
        resume: bool = False,
    ) -> None:
        self._path = path.absolute()  # other processes may have another working directory
        self._shape = shape
        self._dtype = dtype
        self._axes = axes
        self._keep_existing = resume and path.exists()
        self._created = False
        self._array: Any = None

    def open(self) -> None:
        """Create the image, or open the existing one.

        Raises
        ------
        InputError
            If the image cannot be created, or the existing one has another layout.
        """
        with explain_write_errors(self._path):
            if not self._keep_existing:
                self._array = create_labels(self._path, self._shape, self._dtype, self._axes)
                self._keep_existing = self._created = True
                return
            self._array = open_zarr(self._path, mode="r+")[0]
        if (self._array.shape, self._array.dtype) != (self._shape, self._dtype):
            raise InputError(
                f"{self._path} holds labels of another shape or type: choose another output."
            )

    def write(
        self,
        index: int,
        labels: NDArray[Any],
        rows: slice = slice(None),
        columns: slice = slice(None),
    ) -> None:
        """Write the labels of a frame, or of a region whose borders are borders of chunks."""
        if self._array is None:
            self.open()
        with explain_write_errors(self._path):
            self._array[(*self._position(index), rows, columns)] = labels

    def read(self, index: int) -> NDArray[Any]:
        """Read the labels of a frame that was written."""
        if self._array is None:
            self.open()
        return np.asarray(self._array[self._position(index)])

    def close(self) -> None:
        """Do nothing: each frame is complete when it is written."""

    def discard(self) -> None:
        """Delete the image if this writer created it."""
        if self._created:
            shutil.rmtree(self._path, ignore_errors=True)

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process adds to the image that this writer created.
        return {**self.__dict__, "_array": None, "_keep_existing": True, "_created": False}

    def _position(self, index: int) -> tuple[int, ...]:
        lead = self._shape[:-2]
        return tuple(int(at) for at in np.unravel_index(index, lead)) if lead else ()


class _FileWriter:
    """Writer of a TIFF or PNG file, which is OME-Zarr until it is closed.

    Compressed files cannot be written in any order.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], axes: str) -> None:
        self._path = path
        self._shape = shape
        self._dtype = dtype
        self._axes = axes
        self._folder: Path | None = None
        self._frames: ZarrLabelWriter | None = None

    def write(self, index: int, labels: NDArray[Any]) -> None:
        if self._frames is None:
            self._folder = create_fallback_folder(self._path)
            self._frames = ZarrLabelWriter(self._folder, self._shape, self._dtype, self._axes)
        self._frames.write(index, labels)

    def read(self, index: int) -> NDArray[Any]:
        assert self._frames is not None
        return self._frames.read(index)

    def close(self) -> None:
        if self._frames is None or self._folder is None:
            return
        with keep_on_failure(self._folder):
            if len(self._shape) == 2:
                write_labels(self._path, self._frames.read(0), self._axes)
            else:
                pages = map(self._frames.read, range(math.prod(self._shape[:-2])))
                write_pages(self._path, pages, self._shape, self._dtype, self._axes)
        self.discard()

    def discard(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
