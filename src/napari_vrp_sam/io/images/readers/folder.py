"""Folders of images, one for each frame, and patterns such as `scan/*_ch1.tif`."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.frame_files import folder_images, foreign_files, is_pattern
from napari_vrp_sam.io.images.frame_names import NamedAxes, file_order
from napari_vrp_sam.io.images.lazy_stack import LazyStack
from napari_vrp_sam.io.images.opening import open_file
from napari_vrp_sam.io.images.reader import ImageReader
from napari_vrp_sam.io.metadata import ImageMetadata, StoredImage


class _Header(NamedTuple):
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    metadata: ImageMetadata


def _recognises(path: Path, _head: bytes) -> bool:
    return path.is_dir() or is_pattern(path)


def _open(folder: Path, _image: int | None, *, raw: bool) -> StoredImage:
    files = folder_images(folder)
    headers = [_header(path, raw=raw) for path in files]
    common = _common_layout(folder, files, headers, raw=raw)
    order = _order(folder, files, common.axes)
    _report_foreign(folder)
    frame = common.axes, common.shape
    readers = [
        partial(_missing, common.shape, common.dtype)
        if number < 0
        else partial(_read, files[number], *frame, raw=raw)
        for number in order.files.ravel().tolist()
    ]
    data = LazyStack(readers, order.files.shape, common.shape, common.dtype)
    metadata = common.metadata
    if any(header.metadata.transform != metadata.transform for header in headers):
        metadata = replace(metadata, crs=None, transform=None, origin={})  # tiles of a map
    return StoredImage(data, order.axes + common.axes, metadata)


def _header(path: Path, *, raw: bool) -> _Header:
    stored = open_file(path, raw=raw)
    axes = stored.axes or "ZYX"[-len(stored.data.shape) :]
    dtype = np.dtype(stored.data.dtype).newbyteorder("=")
    shape = tuple(stored.data.shape)
    if axes[:1] == "S":  # planar colours
        axes, shape = axes[1:] + "S", (*shape[1:], shape[0])
    return _Header(axes, shape, dtype, stored.metadata)


def _common_layout(
    folder: Path, files: list[Path], headers: list[_Header], *, raw: bool
) -> _Header:
    """Return the axes, shape and dtype that the frames of a folder have when they are stacked."""
    first = headers[0]
    colours = [header for header in headers if header.axes == "YXS"]
    for path, header in zip(files, headers, strict=True):
        if _pixels(header) != _pixels(first):
            raise InputError(
                f"The images of {folder} differ in size: {files[0].name} is {_pixels(first)} "
                f"pixels, {path.name} is {_pixels(header)}; put them into separate folders."
            )
        # Gray frames among colours get three channels.
        mixed = {header.axes, first.axes} <= {"YX", "YXS"}
        if header.shape != first.shape and not mixed:
            raise InputError(
                f"The images of {folder} differ in shape: {files[0].name} is {first.shape}, "
                f"{path.name} is {header.shape}; put them into separate folders."
            )
        # Labels have the same meaning in every type, intensities do not.
        if header.dtype != first.dtype and not raw:
            raise InputError(
                f"The images of {folder} differ in type: {files[0].name} is {first.dtype}, "
                f"{path.name} is {header.dtype}; save all with the same type."
            )
    dtype = np.result_type(*(header.dtype for header in headers))
    return (colours[0] if colours else first)._replace(dtype=dtype)


def _pixels(header: _Header) -> tuple[int, ...]:
    """Height and width of the frames of a file."""
    return tuple(header.shape[header.axes.index(axis)] for axis in "YX")


def _order(folder: Path, files: list[Path], frame_axes: str) -> NamedAxes:
    """Return the axes along which the files of a folder are counted."""
    order = file_order([path.stem for path in files], frame_axes)
    if order is None:
        raise InputError(
            f"The files of {folder} are stacks with the axes {frame_axes}: open one of them "
            "instead of the folder."
        )
    gaps = np.argwhere(order.files < 0)
    if len(gaps):
        first = ", ".join(f"{axis} {at}" for axis, at in zip(order.axes, gaps[0], strict=True))
        warnings.warn(
            f"{folder} lacks {len(gaps)} of {order.files.size} files, the first at {first}: "
            "they are treated as missing data.",
            stacklevel=5,
        )
    return order


def _report_foreign(folder: Path) -> None:
    foreign = foreign_files(folder)
    if foreign:
        warnings.warn(
            f"{len(foreign)} files of {folder} belong to other images, such as {foreign[0].name}: "
            "they are not used as frames.",
            stacklevel=5,
        )


def _read(path: Path, axes: str, shape: tuple[int, ...], *, raw: bool) -> NDArray[Any]:
    """Read a file as it is when it is indexed; gray frames are repeated if colours are needed."""
    stored = open_file(path, raw=raw)
    pixels: NDArray[Any] = np.asanyarray(stored.data[()])
    if stored.axes and stored.axes[:1] == "S":
        pixels = np.moveaxis(pixels, 0, -1)
    if axes == "YXS" and pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    if pixels.shape != shape:
        raise InputError(f"{path} has the shape {pixels.shape}, but its stack needs {shape}.")
    return pixels


def _missing(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.ma.MaskedArray(np.zeros(shape, dtype), mask=True)


READER = ImageReader(
    "folder of images, or a pattern with wildcards",
    "the library of each image",
    (),
    _recognises,
    _open,
    priority=1,
)
