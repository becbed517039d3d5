"""Frames of animations and videos, which can be decoded in their order only."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.io.images.lazy_stack import LazyArray, full_selection, stack_frames
from napari_vrp_sam.io.images.read_errors import read_error


class FrameDecoder(Protocol):
    """Open animation or video."""

    def read(self, index: int) -> NDArray[Any]:
        """Decode a frame; fast if it is the one after the frame that was read before."""

    def close(self) -> None:
        """Close the file."""


class OpenDecoder(Protocol):
    """Function that opens a file for decoding; it can be pickled."""

    def __call__(self, path: Path, /) -> FrameDecoder:
        """Open the file."""


class SequentialStack(LazyArray):
    """Stack of frames that one decoder reads, which stays open between frames.

    Parameters
    ----------
    path : Path
    open_decoder : callable
    shape : tuple of int
        The first axis counts frames.
    dtype : dtype
    """

    def __init__(
        self,
        path: Path,
        open_decoder: OpenDecoder,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._path = path
        self._open_decoder = open_decoder
        self._decoder: FrameDecoder | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_decoder": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def __del__(self) -> None:
        if decoder := self.__dict__.get("_decoder"):
            decoder.close()

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        first, *rest = full_selection(selection, self.ndim)
        numbers = np.arange(self.shape[0])[first]
        frames = [self._read(int(number))[tuple(rest)] for number in np.ravel(numbers)]
        return stack_frames(frames) if np.ndim(numbers) else frames[0]

    def _read(self, index: int) -> NDArray[Any]:
        with self._lock:
            try:
                if self._decoder is None:
                    self._decoder = self._open_decoder(self._path)
                return self._decoder.read(index)
            except Exception as error:  # decoders raise exceptions of any type
                raise read_error(self._path, error) from error
