"""Files of labels and probabilities: PNG, ImageJ and OME-TIFF, GeoTIFF."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic
from napari_vrp_sam.io.images.frame_files import TIFF_SUFFIXES
from napari_vrp_sam.io.labels.geotiff import stack_tags, write_geotiff
from napari_vrp_sam.io.labels.tiff import OME_SUFFIXES, write_pages
from napari_vrp_sam.io.metadata import ImageMetadata

LARGEST_PAGE = 2**28
"""Largest page of a TIFF file in bytes that is written as a whole; larger ones have tiles."""
TILE = 1024
"""Side of these tiles in pixels."""

ReadPlane = Callable[[int, slice], NDArray[Any]]
"""Function of the index of a plane, along the flattened leading axes, and of rows."""


def write_labels(
    path: str | os.PathLike[str],
    labels: NDArray[Any],
    axes: str,
    metadata: ImageMetadata | None = None,
) -> None:
    """Write a label image atomically, as compressed TIFF or, for one frame, as PNG.

    Parameters
    ----------
    path : str or path
        Path with the suffix .tif, .tiff or, for one frame, .png. A TIFF file is GeoTIFF if the
        metadata have a transform, OME-TIFF if its name ends in .ome.tif, else an ImageJ file.
    labels : ndarray of unsigned integers
    axes : str
        One letter of T, Z, Y, X for each axis of the labels.
    metadata : ImageMetadata, optional
        Calibration and place of the image, which TIFF files keep.

    Raises
    ------
    InputError
        If the file cannot be written, or the format does not support the labels.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (*TIFF_SUFFIXES, ".png"):
        raise InputError(f"Labels cannot be written to {path.name}: use .tif or .png.")
    if suffix == ".png" and (labels.ndim != 2 or labels.dtype.itemsize > 2):
        raise InputError(f"{path.name} cannot hold a stack or more than 65535 labels: use .tif.")
    pages = labels.reshape(-1, *labels.shape[-2:])
    write_planes(
        path, lambda plane, rows: pages[plane, rows], labels.shape, labels.dtype, axes, metadata
    )


def write_planes(
    path: Path,
    read: ReadPlane,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axes: str,
    metadata: ImageMetadata | None = None,
    *,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write a file plane by plane, atomically; its name and the metadata select the format.

    Parameters
    ----------
    path : Path
        Path with the suffix .png, .tif or .tiff.
    read : callable
        See `ReadPlane`.
    shape : tuple of int
        Leading axes + (Y, X).
    dtype : dtype
    axes : str
        One letter of T, Z, C, Y, X for each axis.
    metadata : ImageMetadata, optional
    notes : mapping of str to str, optional
        Other values to store by their names.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    metadata, notes = metadata or ImageMetadata(), notes or {}
    planes = math.prod(shape[:-2])
    if path.suffix.lower() == ".png":
        with atomic(path) as temporary:
            Image.fromarray(read(0, slice(None))).save(temporary)
    elif is_geotiff(path, metadata):
        write_geotiff(
            path,
            read,
            (planes, shape[-2], shape[-1]),
            dtype,
            metadata,
            descriptions=_band_names(shape, axes, metadata.channel_names),
            notes={**notes, **stack_tags(shape, axes)},
        )
    else:
        tiled = shape[-2] * shape[-1] * dtype.itemsize > LARGEST_PAGE
        pages = (
            _tiles(read, planes, shape[-2:])
            if tiled
            else (read(plane, slice(None)) for plane in range(planes))
        )
        write_pages(
            path, pages, shape, dtype, axes, metadata, notes=notes, tile=TILE if tiled else 0
        )


def _tiles(read: ReadPlane, planes: int, size: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    """Yield the tiles of all planes, row by row; those at the border are padded with 0."""
    for plane in range(planes):
        for top in range(0, size[0], TILE):
            rows = read(plane, slice(top, min(top + TILE, size[0])))
            rows = np.pad(rows, ((0, TILE - len(rows)), (0, -size[1] % TILE)))
            for left in range(0, rows.shape[1], TILE):
                yield np.ascontiguousarray(rows[:, left : left + TILE])


def is_geotiff(path: Path, metadata: ImageMetadata | None) -> bool:
    """Return whether a file is written as GeoTIFF: its image has a place on a map."""
    name = path.name.lower()
    placed = metadata is not None and metadata.transform is not None
    return placed and name.endswith(TIFF_SUFFIXES) and not name.endswith(OME_SUFFIXES)


def _band_names(shape: tuple[int, ...], axes: str, channel_names: Sequence[str]) -> list[str]:
    """Return a name for each plane, such as "T=0, class 1"; an empty one for a single map."""
    names = []
    for position in np.ndindex(shape[:-2]):
        at = dict(zip(axes[:-2], position, strict=True))
        channel = at.pop("C", len(channel_names))
        parts = [f"{axis}={index}" for axis, index in at.items()]
        names.append(", ".join([*parts, *channel_names[channel : channel + 1]]))
    return names
