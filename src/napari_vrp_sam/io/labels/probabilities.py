"""Probabilities, written and read frame by frame."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic
from napari_vrp_sam.io.images.frame_files import TIFF_SUFFIXES
from napari_vrp_sam.io.images.stacks import read_stack
from napari_vrp_sam.io.labels.tiff import imagej_keeps
from napari_vrp_sam.io.labels.writers import write_frames

CLASS_IDS = "class_ids"
"""Key of the classes in the description of a TIFF file."""


class ProbabilityWriter:
    """Writer of the probabilities of each class and frame, as float32 TIFF.

    Parameters
    ----------
    path : Path
        Path with the suffix .tif or .tiff; the file appears when the writer is closed.
    shape : tuple of int
        Leading axes + (K, Y, X).
    axes : str
        One letter for each axis, C for the classes.
    class_ids : sequence of int
        The K classes, stored in the file.

    Raises
    ------
    InputError
        If the disk is too small for the file, or it cannot be written.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], axes: str, class_ids: Sequence[int] = ()
    ) -> None:
        if path.suffix.lower() not in TIFF_SUFFIXES:
            raise InputError(f"Probabilities cannot be written to {path.name}: use .tif.")
        self._stack = contextlib.ExitStack()
        temporary = self._stack.enter_context(atomic(path))
        with self._stack:
            _check_free_space(temporary.parent, int(np.prod(shape)) * 4)
            self._pages: Any = tifffile.memmap(
                temporary,
                shape=shape,
                dtype=np.float32,
                imagej=imagej_keeps(axes),
                photometric="minisblack",
                metadata={"axes": axes, CLASS_IDS: ",".join(map(str, class_ids))},
            )
            self._stack = self._stack.pop_all()

    def write(self, index: int, probabilities: NDArray[np.float32]) -> None:
        """Write the probabilities of a frame, shape (K, Y, X)."""
        self._pages.reshape(-1, *probabilities.shape)[index] = probabilities

    def close(self) -> None:
        """Complete the file."""
        self._pages.flush()
        del self._pages
        self._stack.close()

    def discard(self) -> None:
        """Delete the incomplete file."""
        del self._pages
        with contextlib.suppress(_DiscardError), self._stack:
            raise _DiscardError


def write_probabilities(
    path: Path,
    frames: Iterable[tuple[int, NDArray[np.float32]]],
    shape: tuple[int, ...],
    axes: str,
    class_ids: Sequence[int],
) -> None:
    """Write the probabilities of frames, given as index and array (K, Y, X), others as 0.

    For the other parameters, see `ProbabilityWriter`.
    """
    write_frames(ProbabilityWriter(path, shape, axes, class_ids), frames)


@dataclass(frozen=True, eq=False)
class StoredProbabilities:
    """Probabilities in a file, read frame by frame.

    Attributes
    ----------
    data : array, shape of the leading axes + (Y, X) and an axis of the classes anywhere
    axes : str
        One letter for each axis; C, if present, for the classes.
    class_ids : tuple of int
        The K classes.
    """

    data: Any
    axes: str
    class_ids: tuple[int, ...]

    @property
    def label_axes(self) -> str:
        """One letter for each axis of the labels."""
        return self.axes.replace("C", "")

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of the labels."""
        sizes = zip(self.axes, self.data.shape, strict=True)
        return tuple(int(size) for axis, size in sizes if axis != "C")

    def __len__(self) -> int:
        return int(np.prod(self.label_shape[:-2], dtype=int))

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Read the probabilities of each frame, shape (K, Y, X)."""
        at = self.axes.find("C")
        for position in np.ndindex(self.label_shape[:-2]):
            where: list[int | slice] = list(position)
            if at >= 0:
                where.insert(at, slice(None))
            frame = np.asarray(self.data[tuple(where)], np.float32)
            yield frame if at >= 0 else frame[None]


def read_probabilities(path: Path) -> StoredProbabilities:
    """Open the probabilities that a run has written; nothing is read yet.

    Raises
    ------
    InputError
        If the file is not a TIFF file of probabilities.
    """
    if path.suffix.lower() not in TIFF_SUFFIXES:
        raise InputError(f"{path} is not a TIFF file: give a TIFF file of probabilities.")
    if not path.exists():
        raise InputError(f"There is no file {path}: check the path.")
    data, stored_axes = read_stack(path)
    axes = stored_axes or ""
    last = axes[-3:] if "C" in axes else axes[-2:]
    if last not in ("CYX", "YX") or np.dtype(data.dtype).kind != "f":
        raise InputError(
            f"{path} holds {np.dtype(data.dtype)} values with the axes {axes}, which are not "
            "probabilities: give a file written by vrp-sam (float32, axes ...CYX)."
        )
    count = int(data.shape[axes.index("C")]) if "C" in axes else 1
    return StoredProbabilities(data, axes, _stored_class_ids(path) or tuple(range(1, count + 1)))


def _stored_class_ids(path: Path) -> tuple[int, ...]:
    with tifffile.TiffFile(path) as file:
        shaped = file.shaped_metadata or ({},)
        stored = (file.imagej_metadata or shaped[0]).get(CLASS_IDS, "")
    # tifffile converts a single number.
    return tuple(int(part) for part in str(stored).split(",") if part)


class _DiscardError(Exception):
    """Makes `atomic` delete its temporary file."""


def _check_free_space(folder: Path, size: int) -> None:
    # A memory map on a full disk would crash the process.
    if shutil.disk_usage(folder).free < size:
        raise InputError(
            f"{folder} has no space for {size / 1e9:.1f} GB of probabilities: free some, or choose "
            "another folder."
        )
