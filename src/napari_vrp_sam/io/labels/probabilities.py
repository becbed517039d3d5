"""Probabilities, written frame by frame."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic
from napari_vrp_sam.io.images.frame_files import TIFF_SUFFIXES
from napari_vrp_sam.io.images.tiff_stack import imagej_keeps


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

    Raises
    ------
    InputError
        If the disk is too small for the file, or it cannot be written.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], axes: str) -> None:
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
                metadata={"axes": axes},
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


class _DiscardError(Exception):
    """Makes `atomic` delete its temporary file."""


def _check_free_space(folder: Path, size: int) -> None:
    # A memory map on a full disk would crash the process.
    if shutil.disk_usage(folder).free < size:
        raise InputError(
            f"{folder} has no space for {size / 1e9:.1f} GB of probabilities: free some, or choose "
            "another folder."
        )
