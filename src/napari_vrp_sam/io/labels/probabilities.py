"""Probabilities written frame by frame: whatever was finished can be kept."""

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
from napari_vrp_sam.io.images.tiff_stack import imagej_keeps


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
                imagej=imagej_keeps(axes),
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
