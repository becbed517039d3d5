"""Windows of large TIFF pages, of which only the tiles or strips in question are decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_vrp_sam.io.images.lazy_stack import LazyArray
from napari_vrp_sam.io.images.read_errors import explain_read_errors
from napari_vrp_sam.io.images.tiff.quiet import quiet_tifffile
from napari_vrp_sam.io.images.tiff.samples import Convert

LARGE_PAGE = 256_000_000
"""Size in bytes above which pages are read in windows."""


class WindowedPage(LazyArray):
    """Page of a TIFF file, of which windows are read when it is indexed.

    Parameters
    ----------
    path : Path
    offset : int
        Position of the tags of the page in the file.
    shape : tuple of int
        Shape after the conversion.
    dtype : dtype
        Dtype after the conversion.
    convert : callable, optional
        Conversion of pixels, which keeps the rows and columns.
    """

    def __init__(
        self,
        path: Path,
        offset: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        convert: Convert | None,
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self._path = path
        self._offset = offset
        self._convert = convert

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        selection = selection if isinstance(selection, tuple) else (selection,)
        if self._convert is None:
            return _read(self._path, self._offset, selection)
        # Conversions need all samples of a pixel.
        window = tuple(_as_slice(part) for part in selection[:2])
        pixels = _read(self._path, self._offset, window)
        rest = (0 if isinstance(part, int | np.integer) else slice(None) for part in selection[:2])
        converted: NDArray[Any] = self._convert(pixels)[(*rest, *selection[2:])]
        return converted


def _as_slice(part: Any) -> slice:
    if isinstance(part, slice):
        return part
    return slice(int(part), int(part) + 1 or None)


@explain_read_errors
def _read(path: Path, offset: int, selection: tuple[Any, ...]) -> NDArray[Any]:
    import zarr

    with quiet_tifffile(), tifffile.TiffFile(path) as file:
        file.filehandle.seek(offset)
        array: Any = zarr.open_array(tifffile.TiffPage(file, 0).aszarr(), mode="r")
        return np.asarray(array[selection])
