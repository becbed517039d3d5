"""Writers of label images, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.frame_files import TIFF_SUFFIXES
from napari_vrp_sam.io.images.zarr_arrays.ome_zarr import SUFFIX as ZARR_SUFFIX
from napari_vrp_sam.io.labels.folder import FolderWriter, folder_files
from napari_vrp_sam.io.labels.ome_zarr import image_of_labels
from napari_vrp_sam.io.labels.staged import StagedWriter
from napari_vrp_sam.io.labels.zarr_writer import ZarrWriter
from napari_vrp_sam.io.metadata import ImageMetadata

UNSUPPORTED_SUFFIXES = (
    ".bmp", ".csv", ".czi", ".gif", ".h5", ".hdf5", ".jp2", ".jpeg", ".jpg", ".json", ".lif",
    ".mrc", ".nd2", ".nii", ".npy", ".npz", ".nrrd", ".pdf", ".png", ".svg", ".tsv", ".txt",
    ".vrpsam", ".webp", ".xls", ".xlsx", ".zip",
)  # fmt: skip
"""Suffixes of other formats. Any other suffix is part of a folder's name: 2024.05.01_cells."""


class LabelWriter(Protocol):
    """Writer that accepts the labels of each frame, in any order."""

    def write(self, index: int, labels: NDArray[Any]) -> None:
        """Write the labels of a frame, indexed along the flattened leading axes."""
        ...

    def read(self, index: int) -> NDArray[Any]:
        """Read the labels of a frame that was written."""
        ...

    def close(self) -> None:
        """Complete the output; frames that were not written are 0 in a file, missing in a folder.

        Raises
        ------
        InputError
            If a file cannot be written. Its labels are kept as OME-Zarr, and the message says
            where.
        """
        ...

    def discard(self) -> None:
        """Remove an incomplete file or image; files of a folder stay."""
        ...


def label_writer(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axes: str,
    names: Sequence[str] = (),
    *,
    metadata: ImageMetadata | None = None,
    sources: Sequence[Path] = (),
    resume: bool = False,
) -> LabelWriter:
    """Return a writer for a path; its name selects the format.

    OME-Zarr for .zarr and for a name in the group `labels` of an OME-Zarr image, a file for .tif
    (GeoTIFF if the image has a place on a map), .ome.tif and .png, else a folder.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Leading axes + (Y, X).
    dtype : dtype
        Unsigned dtype of the labels.
    axes : str
        One letter for each axis of the labels.
    names : sequence of str
        Names of the files in a folder without suffix (default: numbers).
    metadata : ImageMetadata, optional
        Calibration and place of the image, which the labels keep.
    sources : sequence of Path
        Image files of the frames, if each has its own: those in a folder keep its place.
    resume : bool
        Add frames to an existing OME-Zarr with the same layout.

    Raises
    ------
    InputError
        If the format does not support the labels.
    """
    if is_zarr_output(path):
        return ZarrWriter(path, shape, dtype, axes, metadata, resume=resume)
    suffix = path.suffix.lower()
    if suffix in TIFF_SUFFIXES or (suffix == ".png" and len(shape) == 2):
        return StagedWriter(path, shape, dtype, axes, metadata)
    if suffix in UNSUPPORTED_SUFFIXES and not path.is_dir():
        raise InputError(
            f"Labels cannot be written to {path.name}: choose a .tif file, .zarr, or a folder."
        )
    files = folder_files(path, shape, dtype, names, metadata)
    return FolderWriter(files, dtype, metadata, sources)


class FrameWriter(Protocol):
    """Writer of labels or probabilities, frame by frame."""

    def write(self, index: int, frame: NDArray[Any], /) -> None: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102

    def discard(self) -> None: ...  # noqa: D102


def write_frames(writer: FrameWriter, frames: Iterable[tuple[int, NDArray[Any]]]) -> None:
    """Write frames, given as index and array, and complete the output.

    After an error, an incomplete file or image is removed; finished files of a folder stay.
    """
    try:
        for index, frame in frames:
            writer.write(index, frame)
    except BaseException:
        writer.discard()
        raise
    writer.close()


def write_label_frames(
    path: Path,
    frames: Iterable[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axes: str,
    names: Sequence[str] = (),
    *,
    metadata: ImageMetadata | None = None,
) -> None:
    """Write the labels of all frames, in their order; see `label_writer` and `write_frames`."""
    writer = label_writer(path, shape, dtype, axes, names, metadata=metadata)
    write_frames(writer, enumerate(frames))


def is_incremental(path: Path) -> bool:
    """Return whether labels at a path are written frame by frame instead of all at the end."""
    return is_zarr_output(path) or path.suffix.lower() not in (*TIFF_SUFFIXES, ".png")


def is_zarr_output(path: Path) -> bool:
    """Return whether labels at a path are written as OME-Zarr."""
    return path.suffix.lower() == ZARR_SUFFIX or image_of_labels(path) is not None


def is_folder_output(path: Path) -> bool:
    """Return whether labels at a path are written as a folder of files, one for each frame."""
    return is_incremental(path) and not is_zarr_output(path)
