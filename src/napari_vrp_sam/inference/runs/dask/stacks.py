"""Stacks in a form that can be sent to other machines: by their file, if there is one."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
from numpy.typing import NDArray

SMALL = 64_000_000
"""Largest pickled size in bytes of a stack that is sent; a larger one would contain pixels."""


def sendable_stack(data: Any) -> Any | None:
    """Return a stack that opens its own files when it is unpickled; None if it has no files.

    Parameters
    ----------
    data : array
        As `Frames` takes it. A memory map becomes a `MappedFile`; an array with a small pickle,
        such as a Zarr array or a lazy array of files, is returned as it is.
    """
    if isinstance(data, np.memmap):
        return MappedFile.of(data)
    if isinstance(data, np.ndarray):
        return None
    buffers: list[pickle.PickleBuffer] = []
    try:
        size = len(cloudpickle.dumps(data, protocol=5, buffer_callback=buffers.append))
    except Exception:  # pickling raises many kinds of error
        return None
    size += sum(buffer.raw().nbytes for buffer in buffers)
    pixels = np.prod(data.shape, dtype=float) * np.dtype(data.dtype).itemsize
    return data if size < min(SMALL, pixels / 2) else None


class MappedFile:
    """An array in a file that is memory-mapped by the process that reads it.

    Parameters
    ----------
    path : Path
    offset : int
        Position of the first value in the file, in bytes.
    shape : tuple of int
    dtype : dtype
    """

    def __init__(
        self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self._path = path
        self._offset = offset

    @classmethod
    def of(cls, data: np.memmap[Any, Any]) -> MappedFile | None:
        """Describe a memory map; return None if it is not contiguous in its file."""
        whole: Any = data
        while isinstance(whole.base, np.memmap):
            whole = whole.base
        if data.filename is None or not data.flags.c_contiguous:
            return None
        # NumPy gives a view the offset of the whole map.
        start = data.ctypes.data - whole.ctypes.data
        return cls(Path(data.filename), whole.offset + start, data.shape, data.dtype)

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        mapped = np.memmap(self._path, self.dtype, "r", self._offset, self.shape)
        return np.array(mapped[selection])
