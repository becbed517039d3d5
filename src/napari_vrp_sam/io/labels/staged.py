"""Writer of TIFF and PNG files, which are OME-Zarr until they are complete."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.io.labels.fallback import create_fallback_folder, keep_on_failure
from napari_vrp_sam.io.labels.files import is_geotiff, write_planes
from napari_vrp_sam.io.labels.geotiff import check_geotiff
from napari_vrp_sam.io.labels.zarr_writer import ZarrWriter
from napari_vrp_sam.io.metadata import ImageMetadata


class StagedWriter:
    """Writer of a file whose frames may come in any order, which compressed files do not allow.

    For the parameters, see `ZarrWriter`; for the formats, `write_planes`.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        axes: str,
        metadata: ImageMetadata | None = None,
        *,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        if is_geotiff(path, metadata):
            check_geotiff()  # before the run, not at its end
        self._path = path
        self._layout = (shape, dtype, axes, metadata)
        self._notes = notes
        self._folder: Path | None = None
        self._frames: ZarrWriter | None = None

    def write(self, index: int, frame: NDArray[Any]) -> None:
        """Write a frame, indexed along the flattened leading axes."""
        if self._frames is None:
            self._folder = create_fallback_folder(self._path)
            self._frames = ZarrWriter(self._folder, *self._layout, notes=self._notes)
        self._frames.write(index, frame)

    def read(self, index: int) -> NDArray[Any]:
        """Read a frame that was written."""
        assert self._frames is not None
        return self._frames.read(index)

    def close(self) -> None:
        """Write the file; if that fails, the OME-Zarr remains."""
        if self._frames is None or self._folder is None:
            return
        with keep_on_failure(self._folder):
            write_planes(self._path, self._frames.read_plane, *self._layout, notes=self._notes)
        self.discard()

    def discard(self) -> None:
        """Delete the frames that were written."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
