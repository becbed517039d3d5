"""Stacks as other machines can open them: by their file, where there is one."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
from numpy.typing import NDArray

SMALL = 64_000_000
"""Bytes that a description of a stack may take: with more, it would hold pixels."""


def sendable_stack(data: Any) -> Any | None:
    """A stack as it can be sent: a description that opens its files; None where there is none.

    Parameters
    ----------
    data : array
        As `Frames` takes it. A memory map becomes a `MappedFile`; what pickles to little, such as
        a Zarr array or a lazy array of files, stays as it is.
    """
    if isinstance(data, np.memmap):
        return MappedFile.of(data)
    if isinstance(data, np.ndarray):
        return None
    buffers: list[pickle.PickleBuffer] = []
    try:
        size = len(cloudpickle.dumps(data, protocol=5, buffer_callback=buffers.append))
    except Exception:  # objects find many reasons not to be pickled
        return None
    size += sum(buffer.raw().nbytes for buffer in buffers)
    pixels = np.prod(data.shape, dtype=float) * np.dtype(data.dtype).itemsize
    return data if size < min(SMALL, pixels / 2) else None


class MappedFile:
    """An array in a file, mapped into the memory of whoever reads it.

    Parameters
    ----------
    path : Path
    offset : int
        Of the first value in the file, in bytes.
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
        """What is mapped, if it lies in its file as in memory."""
        whole: Any = data
        while isinstance(whole.base, np.memmap):
            whole = whole.base
        if data.filename is None or not data.flags.c_contiguous:
            return None
        # NumPy leaves a part the offset of its whole.
        start = data.ctypes.data - whole.ctypes.data
        return cls(Path(data.filename), whole.offset + start, data.shape, data.dtype)

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        mapped = np.memmap(self._path, self.dtype, "r", self._offset, self.shape)
        return np.array(mapped[selection])
