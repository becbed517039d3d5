"""Probabilities in 256 levels, written and read frame by frame."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.frame_files import TIFF_SUFFIXES
from napari_vrp_sam.io.images.opening import open_file
from napari_vrp_sam.io.labels.staged import StagedWriter
from napari_vrp_sam.io.labels.writers import is_zarr_output, write_frames
from napari_vrp_sam.io.labels.zarr_writer import ZarrWriter
from napari_vrp_sam.io.metadata import ImageMetadata

CLASS_IDS = "class_ids"
"""Name of the classes among the notes of a file."""
SCALE = "scale"
"""Name of the meaning of the levels among the notes of a file."""
MEANING = "probability = (value + 0.5) / 256, or 0 for the value 0"


class ProbabilityWriter:
    """Writer of the probabilities of each class and frame as levels, uint8.

    Parameters
    ----------
    path : Path
        TIFF file (GeoTIFF if the image has a place on a map), .ome.tif or .zarr. A file appears
        when the writer is closed.
    shape : tuple of int
        Leading axes + (K, Y, X).
    axes : str
        One letter for each axis, C for the classes.
    class_ids : sequence of int
        The K classes, stored in the file.
    metadata : ImageMetadata, optional
        Calibration and place of the image, which the probabilities keep.

    Raises
    ------
    InputError
        If the disk is too small for the file, or the format is another one.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        axes: str,
        class_ids: Sequence[int] = (),
        metadata: ImageMetadata | None = None,
    ) -> None:
        metadata = replace(
            metadata or ImageMetadata(),
            channel_names=tuple(f"class {class_id}" for class_id in class_ids),
        )
        notes = {CLASS_IDS: ",".join(map(str, class_ids)), SCALE: MEANING}
        self._writer: ZarrWriter | StagedWriter
        if is_zarr_output(path):
            self._writer = ZarrWriter(path, shape, np.dtype(np.uint8), axes, metadata, notes=notes)
        elif path.suffix.lower() in TIFF_SUFFIXES:
            self._writer = StagedWriter(
                path, shape, np.dtype(np.uint8), axes, metadata, notes=notes
            )
        else:
            raise InputError(f"Probabilities cannot be written to {path.name}: use .tif or .zarr.")
        _check_free_space(path, int(np.prod(shape)))

    def write(self, index: int, levels: NDArray[np.uint8]) -> None:
        """Write the levels of a frame, shape (K, Y, X); see `quantise`."""
        self._writer.write(index, levels)

    def close(self) -> None:
        """Complete the file."""
        self._writer.close()

    def discard(self) -> None:
        """Delete the incomplete file."""
        self._writer.discard()


def write_probabilities(
    path: Path,
    frames: Iterable[tuple[int, NDArray[np.uint8]]],
    shape: tuple[int, ...],
    axes: str,
    class_ids: Sequence[int],
    metadata: ImageMetadata | None = None,
) -> None:
    """Write the probabilities of frames, given as index and levels (K, Y, X), others as 0.

    For the other parameters, see `ProbabilityWriter`.
    """
    write_frames(ProbabilityWriter(path, shape, axes, class_ids, metadata), frames)


@dataclass(frozen=True, eq=False)
class StoredProbabilities:
    """Probabilities in a file, read frame by frame.

    Attributes
    ----------
    data : array, shape of the leading axes + (Y, X) and an axis of the classes anywhere
        Levels, uint8, or probabilities, float.
    axes : str
        One letter for each axis; C, if present, for the classes.
    class_ids : tuple of int
        The K classes.
    metadata : ImageMetadata
        Calibration and place of the image.
    """

    data: Any
    axes: str
    class_ids: tuple[int, ...]
    metadata: ImageMetadata = field(default_factory=ImageMetadata)

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

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Read each frame, shape (K, Y, X): levels, uint8, or probabilities, float32."""
        at = self.axes.find("C")
        for position in np.ndindex(self.label_shape[:-2]):
            where: list[int | slice] = list(position)
            if at >= 0:
                where.insert(at, slice(None))
            frame = np.asarray(self.data[tuple(where)])
            frame = frame if frame.dtype == np.uint8 else frame.astype(np.float32)
            yield frame if at >= 0 else frame[None]


def read_probabilities(path: Path) -> StoredProbabilities:
    """Open the probabilities that a run has written; nothing is read yet.

    Raises
    ------
    InputError
        If the file is not a TIFF file or OME-Zarr of probabilities.
    """
    stored = open_file(path, raw=True)
    axes, dtype = (stored.axes or "").replace("S", "C"), np.dtype(stored.data.dtype)
    notes = _notes(path)
    data: Any = stored.data
    known = dtype == np.uint8 and CLASS_IDS in notes
    if not (known or dtype.kind == "f") or axes.replace("C", "")[-2:] != "YX":
        raise InputError(
            f"{path} holds {dtype} values with the axes {axes}, which are not probabilities: give "
            "a file written by vrp-sam."
        )
    count = int(data.shape[axes.index("C")]) if "C" in axes else 1
    # tifffile may have converted the text to numbers.
    class_ids = tuple(int(part) for part in re.findall(r"\d+", str(notes.get(CLASS_IDS, ""))))
    return StoredProbabilities(data, axes, class_ids or tuple(range(1, count + 1)), stored.metadata)


def _notes(path: Path) -> Mapping[str, Any]:
    """Return the values that a writer stored beside the pixels; empty if there are none."""
    if path.is_dir():
        import zarr

        attributes: dict[str, Any] = dict(zarr.open_group(str(path), mode="r").attrs)
        return dict(attributes.get("napari-vrp-sam", {}))
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return {}
    with tifffile.TiffFile(path) as file:
        xml: Any = file.gdal_metadata or file.ome_metadata
        if xml:
            # Entities are not expanded. GDAL calls the elements Item, OME calls them M.
            elements = ET.fromstring(xml).iter()  # noqa: S314
            return {one.get("name") or one.get("K") or "": one.text or "" for one in elements}
        return file.imagej_metadata or (file.shaped_metadata or ({},))[0]


def _check_free_space(path: Path, size: int) -> None:
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    if shutil.disk_usage(folder).free < size:
        raise InputError(
            f"{folder} has no space for {size / 1e9:.1f} GB of probabilities: free some, or choose "
            "another folder."
        )
