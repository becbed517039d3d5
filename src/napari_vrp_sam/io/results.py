"""Results written frame by frame: whatever was finished can be kept."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.atomic import atomic
from napari_vrp_sam.io.images import write_labels


class LabelWriter(Protocol):
    """Takes the labels of one frame after the other, in any order."""

    def write(self, index: int, labels: NDArray[Any]) -> None:
        """Take the labels of a frame, counted along the flattened leading axes."""
        ...

    def close(self) -> None:
        """Finish; frames that never came are 0 in a file and missing in a folder."""
        ...

    def discard(self) -> None:
        """End without a result, where no frame ever came."""
        ...


def label_writer(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], axes: str, names: Sequence[str] = ()
) -> LabelWriter:
    """A writer for a path: a file if it ends in .tif, .tiff or .png, else a folder.

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

    Raises
    ------
    InputError
        If the path cannot hold such labels.
    """
    if path.suffix.lower() in (".tif", ".tiff"):
        return _FileWriter(path, shape, dtype, axes)
    if path.suffix.lower() == ".png" and len(shape) == 2:
        return _FileWriter(path, shape, dtype, axes)
    if path.suffix and not path.is_dir():
        raise InputError(
            f"Labels cannot be written to {path.name}: choose a .tif file, or a folder."
        )
    count = int(np.prod(shape[:-2], dtype=int))
    width = len(str(count - 1))
    return _FolderWriter(path, dtype, list(names) or [f"{i:0{width}}" for i in range(count)])


class _FileWriter:
    """Collects labels in memory: compressed files cannot grow in any order."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], axes: str) -> None:
        self._path = path
        self._labels = np.zeros(shape, dtype)
        self._axes = axes

    def write(self, index: int, labels: NDArray[Any]) -> None:
        self._labels.reshape(-1, *labels.shape)[index] = labels

    def close(self) -> None:
        write_labels(self._path, self._labels, self._axes)

    def discard(self) -> None:
        pass


class _FolderWriter:
    """Writes each frame as soon as it comes."""

    def __init__(self, folder: Path, dtype: np.dtype[Any], names: list[str]) -> None:
        self._folder = folder
        self._dtype = dtype
        self._names = names
        self._suffix = ".png" if dtype.itemsize <= 2 else ".tif"

    def write(self, index: int, labels: NDArray[Any]) -> None:
        path = self._folder / (self._names[index] + self._suffix)
        write_labels(path, labels.astype(self._dtype), "YX")

    def close(self) -> None:
        pass

    def discard(self) -> None:
        pass


class ProbabilityWriter:
    """Probabilities of each class and frame as float32 TIFF, written to disk as they come.

    Parameters
    ----------
    path : Path
        Ends in .tif or .tiff; the file appears when the writer is closed.
    shape : tuple of int
        Leading axes + (K, Y, X).
    axes : str
        One letter for each axis, C for the classes.

    Raises
    ------
    InputError
        If there is no room for the file, or it cannot be written.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], axes: str) -> None:
        if path.suffix.lower() not in (".tif", ".tiff"):
            raise InputError(f"Probabilities cannot be written to {path.name}: use .tif.")
        self._stack = contextlib.ExitStack()
        temporary = self._stack.enter_context(atomic(path))
        with self._stack:
            _reserve(temporary, int(np.prod(shape)) * 4)
            self._pages: Any = tifffile.memmap(
                temporary,
                shape=shape,
                dtype=np.float32,
                imagej=True,
                photometric="minisblack",
                metadata={"axes": axes},
            )
            self._stack = self._stack.pop_all()

    def write(self, index: int, probabilities: NDArray[np.float32]) -> None:
        """Take the probabilities of a frame, shape (K, Y, X)."""
        self._pages.reshape(-1, *probabilities.shape)[index] = probabilities

    def close(self) -> None:
        """Let the file appear."""
        self._pages.flush()
        del self._pages
        self._stack.close()

    def discard(self) -> None:
        """Leave nothing behind."""
        del self._pages
        with contextlib.suppress(_DiscardError), self._stack:
            raise _DiscardError


class _DiscardError(Exception):
    """Tells `atomic` that the file is not wanted."""


def _reserve(path: Path, size: int) -> None:
    """Fail at once where the disk is too small: a memory map would crash in the middle."""
    if shutil.disk_usage(path.parent).free < size:
        raise InputError(f"{path.parent} has no room for {size / 1e9:.1f} GB of probabilities.")
