"""Labels written frame by frame: whatever was finished can be kept."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.frame_files import TIFF_SUFFIXES
from napari_vrp_sam.io.images.ome_zarr import SUFFIX as ZARR_SUFFIX
from napari_vrp_sam.io.images.ome_zarr import create_labels, open_zarr
from napari_vrp_sam.io.images.stacks import write_labels, write_pages
from napari_vrp_sam.io.labels.fallback import rescuing, unfinished
from napari_vrp_sam.io.labels.folder import FolderWriter, folder_files

OTHER_SUFFIXES = (
    ".bmp", ".csv", ".czi", ".gif", ".h5", ".hdf5", ".jp2", ".jpeg", ".jpg", ".json", ".lif",
    ".mrc", ".nd2", ".nii", ".npy", ".npz", ".nrrd", ".pdf", ".png", ".svg", ".tsv", ".txt",
    ".vrpsam", ".webp", ".xls", ".xlsx", ".zip",
)  # fmt: skip
"""Of what somebody may hope for; folders are named with dots too, as 2024.05.01_cells."""


class LabelWriter(Protocol):
    """Takes the labels of one frame after the other, in any order."""

    def write(self, index: int, labels: NDArray[Any]) -> None:
        """Take the labels of a frame, counted along the flattened leading axes."""
        ...

    def read(self, index: int) -> NDArray[Any]:
        """Labels of a frame that was written."""
        ...

    def close(self) -> None:
        """Finish; frames that never came are 0 in a file and missing in a folder.

        Raises
        ------
        InputError
            If a file cannot be written; its labels are kept as OME-Zarr, and the sentence says
            where.
        """
        ...

    def discard(self) -> None:
        """End without a result, where no frame ever came."""
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
    """A writer for a path: OME-Zarr if it ends in .zarr, a file if in .tif or .png, else a folder.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Leading axes + (Y, X).
    dtype : dtype
        Of the labels, unsigned.
    axes : str
        One letter for each axis of the labels.
    names : sequence of str
        In a folder, names of the frames without suffix; numbers unless given.
    resume : bool
        Add to what an earlier writer of the same labels has left in OME-Zarr.

    Raises
    ------
    InputError
        If the path cannot hold such labels.
    """
    suffix = path.suffix.lower()
    if suffix == ZARR_SUFFIX:
        return ZarrLabelWriter(path, shape, dtype, axes, resume=resume)
    if suffix in (*TIFF_SUFFIXES, ".png") and len(shape) == 2:
        return _FrameWriter(path, shape, dtype, axes)
    if suffix in TIFF_SUFFIXES:
        return _StackWriter(path, shape, dtype, axes)
    if suffix in OTHER_SUFFIXES and not path.is_dir():
        raise InputError(
            f"Labels cannot be written to {path.name}: choose a .tif file, .zarr, or a folder."
        )
    return FolderWriter(folder_files(path, shape, dtype, names), dtype)


def grows(path: Path) -> bool:
    """Whether labels at a path are written frame by frame, and not all at once in the end."""
    return path.suffix.lower() not in (*TIFF_SUFFIXES, ".png")


class _FrameWriter:
    """A single frame, as a file."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], axes: str) -> None:
        self._path = path
        self._labels = np.zeros(shape, dtype)
        self._axes = axes

    def write(self, index: int, labels: NDArray[Any]) -> None:
        assert index == 0
        self._labels[...] = labels

    def read(self, index: int) -> NDArray[Any]:
        assert index == 0
        return self._labels

    def close(self) -> None:
        with rescuing(self._keep):
            write_labels(self._path, self._labels, self._axes)

    def discard(self) -> None:
        pass

    def _keep(self) -> Path | None:
        place: Path | None = None
        try:
            place = unfinished(self._path)
            store = create_labels(place, self._labels.shape, self._labels.dtype, self._axes)
            store[...] = self._labels
        except (InputError, OSError):
            if place is not None:
                shutil.rmtree(place, ignore_errors=True)
            return None
        return place


class ZarrLabelWriter:
    """OME-Zarr that grows frame by frame, or region by region, by the hands of several processes.

    Parameters are those of `label_writer`.
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
        self._path = path.absolute()  # it may be written to from elsewhere
        self._shape = shape
        self._dtype = dtype
        self._axes = axes
        self._kept = resume and path.exists()
        self._made = False
        self._array: Any = None

    def open(self) -> None:
        """Make the image, or open the one that is there.

        Raises
        ------
        InputError
            If it cannot be made, or another image is there.
        """
        try:
            if not self._kept:
                self._array = create_labels(self._path, self._shape, self._dtype, self._axes)
                self._kept = self._made = True
                return
            self._array = open_zarr(self._path, mode="r+")[0]
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{self._path} cannot be written: {reason}.") from error
        if (self._array.shape, self._array.dtype) != (self._shape, self._dtype):
            raise InputError(f"{self._path} holds other labels: choose another --output.")

    def write(
        self,
        index: int,
        labels: NDArray[Any],
        rows: slice = slice(None),
        columns: slice = slice(None),
    ) -> None:
        """Take the labels of a frame, or of a part of it that ends where chunks end."""
        if self._array is None:
            self.open()
        try:
            self._array[(*self._position(index), rows, columns)] = labels
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{self._path} cannot be written: {reason}.") from error

    def read(self, index: int) -> NDArray[Any]:
        """Labels of a frame that was written."""
        if self._array is None:
            self.open()
        return np.asarray(self._array[self._position(index)])

    def close(self) -> None:
        """Every frame is where it belongs already."""

    def discard(self) -> None:
        """Remove what was made for frames that never came."""
        if self._made:
            shutil.rmtree(self._path, ignore_errors=True)

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process adds to what the first one has made.
        return {**self.__dict__, "_array": None, "_kept": True, "_made": False}

    def _position(self, index: int) -> tuple[int, ...]:
        lead = self._shape[:-2]
        return tuple(int(at) for at in np.unravel_index(index, lead)) if lead else ()


class _StackWriter:
    """A TIFF file in the end: compressed files cannot grow in any order, OME-Zarr can."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], axes: str) -> None:
        self._path = path
        self._shape = shape
        self._dtype = dtype
        self._axes = axes
        self._store: Path | None = None
        self._frames: ZarrLabelWriter | None = None

    def write(self, index: int, labels: NDArray[Any]) -> None:
        if self._frames is None:
            self._store = unfinished(self._path)
            self._frames = ZarrLabelWriter(self._store, self._shape, self._dtype, self._axes)
        self._frames.write(index, labels)

    def read(self, index: int) -> NDArray[Any]:
        assert self._frames is not None
        return self._frames.read(index)

    def close(self) -> None:
        if self._frames is None:
            return
        count = int(np.prod(self._shape[:-2]))
        pages = (self._frames.read(index) for index in range(count))
        with rescuing(lambda: self._store):
            write_pages(self._path, pages, self._shape, self._dtype, self._axes)
        self.discard()

    def discard(self) -> None:
        if self._store is not None:
            shutil.rmtree(self._store, ignore_errors=True)
