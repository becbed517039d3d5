"""Image stacks and label images: TIFF, OME-Zarr, folders of images, single images."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.frame_files import (
    JPEG_SUFFIXES,
    TIFF_SUFFIXES,
    explain_read_errors,
    folder_images,
    frame_header,
    read_frame,
)
from napari_vrp_sam.io.images.lazy_stack import LazyStack, LazyZarr
from napari_vrp_sam.io.images.ome_zarr import is_zarr, open_zarr
from napari_vrp_sam.io.images.tiff_stack import read_tiff


def read_stack(path: str | os.PathLike[str]) -> tuple[Any, str | None]:
    """Open an image stack; frames are read when they are indexed.

    Parameters
    ----------
    path : str or path
        TIFF file (ImageJ, OME or generic; an axis of unknown meaning, or separate pages, become
        Z), OME-Zarr image (full resolution), Zarr array, PNG or JPEG file, or folder of images,
        one for each frame, in the natural order of their names (2 before 10).

    Returns
    -------
    array : ndarray or lazy array
    axes : str or None
        One letter of T, Z, C, Y, X, S for each axis; None if unknown, as for a Zarr array without
        metadata.

    Raises
    ------
    InputError
        If nothing can be read, or the images of a folder differ in size or type, or two of them
        have the same name.
    """
    return _read(Path(path).absolute())  # worker processes may have another working directory


def read_labels(path: str | os.PathLike[str], image: str | os.PathLike[str] | None = None) -> Any:
    """Open a label image of a stack or of one frame.

    Parameters
    ----------
    path : str or path
        See `read_stack`, except for JPEG. Palette images are read as indices, not as colours.
    image : str or path, optional
        The labelled image. If both are folders, labels are assigned to the image of the same
        name, and images without labels are not annotated.

    Returns
    -------
    ndarray or lazy array, integer or bool
        Shape (Y, X), or leading axes + (Y, X).

    Raises
    ------
    InputError
        If the labels cannot be read, are stored as JPEG or colours, or do not belong to an image.
    """
    path = Path(path)
    if path.is_file() or is_picture_folder(path):
        label_files(path)
    labels: Any
    axes: str | None
    if image is not None and is_picture_folder(path) and is_picture_folder(Path(image)):
        labels, axes = _labels_by_name(path, Path(image))
    else:
        labels, axes = _read(path, palette=True)
    if axes and not set(axes).isdisjoint("CS"):
        raise InputError(
            f"{path} has colours or channels and is not a label image: save labels as one channel "
            "of integers, 0 for background."
        )
    return labels


def label_files(path: Path) -> list[Path]:
    """Return the label files of a folder of images, or the one file.

    Raises
    ------
    InputError
        If the folder holds no image, or one of the files is a JPEG.
    """
    files = folder_images(path) if is_picture_folder(path) else [path]
    for file in files:
        if file.suffix.lower() in JPEG_SUFFIXES:
            # Compression artefacts around edges would be read as additional classes.
            raise InputError(
                f"{file} is not a label image, as JPEG changes labels: save them as PNG or TIFF."
            )
    return files


def is_picture_folder(path: Path) -> bool:
    """Return whether a path is a folder of images, one for each frame."""
    return path.is_dir() and not is_zarr(path)


def _read(path: Path, *, palette: bool = False) -> tuple[Any, str | None]:
    if is_zarr(path):
        return _read_zarr(path)
    if is_picture_folder(path):
        return _read_folder(path, palette=palette)
    if not path.exists():
        raise InputError(f"There is no image at {path}: check the path.")
    if path.suffix.lower() in TIFF_SUFFIXES:
        return read_tiff(path)
    picture = read_frame(path, palette=palette)
    return picture, "YX" if picture.ndim == 2 else "YXS"


@explain_read_errors
def _read_zarr(path: Path) -> tuple[Any, str | None]:
    opened, axes = open_zarr(path)
    # Many programs write all five axes.
    array = LazyZarr(opened, path, squeeze=axes is not None)
    return array, axes and "".join(a for a, r in zip(axes, array.remaining, strict=True) if r)


def _read_folder(folder: Path, *, palette: bool) -> tuple[Any, str]:
    files = folder_images(folder)
    headers = [frame_header(path, palette=palette) for path in files]
    first = headers[0]
    for path, header in zip(files, headers, strict=True):
        if header.shape[:2] != first.shape[:2]:
            raise InputError(
                f"The images of {folder} differ in size: {files[0].name} is {first.shape[:2]} "
                f"pixels, {path.name} is {header.shape[:2]}; put them into separate folders."
            )
        # Labels have the same meaning in every type, intensities do not.
        if header.dtype != first.dtype and not palette:
            raise InputError(
                f"The images of {folder} differ in type: {files[0].name} is {first.dtype}, "
                f"{path.name} is {header.dtype}; save all with the same type."
            )
    colours = any(len(header.shape) == 3 for header in headers)
    shape = (*first.shape[:2], 3) if colours else first.shape
    dtype = np.result_type(*(header.dtype for header in headers))
    readers = [partial(read_frame, path, colours=colours, palette=palette) for path in files]
    return LazyStack(readers, (len(files),), shape, dtype), "ZYXS" if colours else "ZYX"


def _labels_by_name(folder: Path, image: Path) -> tuple[Any, str]:
    names = [path.stem for path in folder_images(image)]
    labels = {path.stem: path for path in label_files(folder)}
    unknown = sorted(labels.keys() - set(names))
    if unknown:
        raise InputError(
            f"{folder / labels[unknown[0]].name} does not belong to an image of {image}: "
            "give labels the name of their image."
        )
    frames = {name: read_frame(path, palette=True) for name, path in labels.items()}
    first = next(iter(frames.values()))
    for name, frame in frames.items():
        if frame.ndim != 2 or frame.shape != first.shape:
            raise InputError(
                f"{labels[name]} is not a label image of {first.shape[:2]} pixels: save labels "
                "as one channel of integers, with the size of their image."
            )
    dtype = np.result_type(*(frame.dtype for frame in frames.values()))
    empty = np.zeros(first.shape, dtype)
    readers = [partial(np.asarray, frames.get(name, empty)) for name in names]
    return LazyStack(readers, (len(names),), first.shape, dtype), "ZYX"
