"""Writer of OME-Zarr images, frame by frame or region by region."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import explain_write_errors
from napari_vrp_sam.io.images.zarr_arrays.ome_zarr import open_zarr
from napari_vrp_sam.io.labels.ome_zarr import add_levels, create_image
from napari_vrp_sam.io.metadata import ImageMetadata

FRAME_AXES = "CYX"
ROWS = 1024
"""Rows of a lazy array that are copied at a time, as many as a chunk has."""
STORED_ORDER = "TCZYX"
"""Order of axes that OME-Zarr requires: time, channels, space."""


class ZarrWriter:
    """Writer of labels or probabilities as OME-Zarr; several processes may share it.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Size of each axis.
    dtype : dtype
    axes : str
        One letter for each axis, in any order; the image has them in the order of `STORED_ORDER`.
        Frames are written along C, if present, Y and X, and are counted along the other axes.
    metadata : ImageMetadata, optional
    notes : mapping of str to str, optional
        See `create_image`.
    resume : bool
        Add frames to an existing image with the same layout.
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
        resume: bool = False,
    ) -> None:
        self._path = path.absolute()  # other processes may have another working directory
        self._sizes = dict(zip(axes, shape, strict=True))
        """Size of each axis, in the order in which frames and planes are counted."""
        self._axes = "".join(sorted(axes, key=STORED_ORDER.index))
        self._dtype = dtype
        self._metadata = metadata
        self._notes = notes
        self._keep_existing = resume and path.exists()
        self._created = False
        self._array: Any = None

    def open(self) -> None:
        """Create the image, or open the existing one.

        Raises
        ------
        InputError
            If the image cannot be created, or the existing one has another layout.
        """
        with explain_write_errors(self._path):
            if not self._keep_existing:
                self._array = create_image(
                    self._path,
                    self._stored_shape,
                    self._dtype,
                    self._axes,
                    self._metadata,
                    labels="C" not in self._axes,
                    notes=self._notes,
                )
                self._keep_existing = self._created = True
                return
            self._array, axes = open_zarr(self._path, mode="r+")
        found = self._array.shape, self._array.dtype, axes
        if found != (self._stored_shape, self._dtype, self._axes):
            raise InputError(
                f"{self._path} holds labels of another shape, type or order of axes: choose "
                "another output."
            )

    def write(
        self,
        index: int,
        labels: Any,
        rows: slice = slice(None),
        columns: slice = slice(None),
    ) -> None:
        """Write a frame, or a region of it whose borders are borders of chunks.

        A frame may be a lazy array, which is copied a few rows at a time.
        """
        if self._array is None:
            self.open()
        with explain_write_errors(self._path):
            if isinstance(labels, np.ndarray):
                where = self._selection(index, self._lead_axes, {"Y": rows, "X": columns})
                self._array[where] = labels
                return
            for top in range(0, labels.shape[-2], ROWS):  # a lazy array of a large frame
                part = slice(top, min(top + ROWS, labels.shape[-2]))
                where = self._selection(index, self._lead_axes, {"Y": part, "X": columns})
                self._array[where] = labels[..., part, :]

    def read(self, index: int) -> NDArray[Any]:
        """Read a frame that was written."""
        if self._array is None:
            self.open()
        return np.asarray(self._array[self._selection(index, self._lead_axes, {})])

    def read_plane(self, plane: int, rows: slice) -> NDArray[Any]:
        """Read rows of a plane, indexed along all flattened axes except Y and X."""
        if self._array is None:
            self.open()
        lead = [axis for axis in self._sizes if axis not in "YX"]
        return np.asarray(self._array[self._selection(plane, lead, {"Y": rows})])

    def close(self) -> None:
        """Add lower resolutions of large frames; each frame is complete when it is written."""
        if self._array is not None:
            with explain_write_errors(self._path):
                add_levels(self._path)

    def discard(self) -> None:
        """Delete the image if this writer created it."""
        if self._created:
            shutil.rmtree(self._path, ignore_errors=True)

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process adds to the image that this writer created.
        return {**self.__dict__, "_array": None, "_keep_existing": True, "_created": False}

    @property
    def _stored_shape(self) -> tuple[int, ...]:
        return tuple(self._sizes[axis] for axis in self._axes)

    def _selection(
        self, index: int, lead_axes: Sequence[str], where: Mapping[str, slice]
    ) -> tuple[int | slice, ...]:
        """Return where to find a frame or plane, given its index along flattened axes."""
        lead = tuple(self._sizes[axis] for axis in lead_axes)
        position = np.unravel_index(index, lead) if lead else ()
        chosen: dict[str, int | slice] = {**dict.fromkeys("CYX", slice(None)), **where}
        chosen.update(zip(lead_axes, map(int, position), strict=True))
        return tuple(chosen[axis] for axis in self._axes)

    @property
    def _lead_axes(self) -> list[str]:
        return [axis for axis in self._sizes if axis not in FRAME_AXES]
