"""Image stacks and label images: TIFF files, OME-Zarr, folders of images, single pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic
from napari_vrp_sam.io.images.frame_files import (
    JPEG_SUFFIXES,
    TIFF_SUFFIXES,
    folder_images,
    frame_header,
    guarded,
    read_frame,
)
from napari_vrp_sam.io.images.lazy_stack import Guarded, LazyStack, Squeezed
from napari_vrp_sam.io.images.ome_zarr import is_zarr, open_zarr
from napari_vrp_sam.io.images.tiff_stack import imagej_keeps, read_tiff


def read_stack(path: str | os.PathLike[str]) -> tuple[Any, str | None]:
    """Open an image; of a stack, frames are read when they are indexed.

    Parameters
    ----------
    path : str or path
        A TIFF file (ImageJ, OME and plain ones; their axes are known, a nameless axis is taken
        for Z, as are pages written one by one), an OME-Zarr image (its finest level) or a Zarr
        array, a picture (PNG, JPEG), or a folder of images, one a frame, in the natural order of
        their names (2 before 10).

    Returns
    -------
    array : ndarray or lazy array
    axes : str or None
        One letter of T, Z, C, Y, X, S for each axis; None where nothing tells: a plain Zarr array.

    Raises
    ------
    InputError
        If there is nothing there that can be read, or the images of a folder differ in size or
        type, or share a name.
    """
    return _read(Path(path).absolute())  # what is lazy may be read elsewhere


def read_labels(path: str | os.PathLike[str], image: str | os.PathLike[str] | None = None) -> Any:
    """Open a label image of a stack, or of one frame.

    Parameters
    ----------
    path : str or path
        As `read_stack` takes it, but no JPEG; of a palette picture the indices are read, not the
        colours.
    image : str or path, optional
        The labelled image. Where both are folders, labels belong to the image of the same name,
        and images without labels are not annotated.

    Returns
    -------
    ndarray or lazy array, integer or bool
        Shape (Y, X), or leading axes + (Y, X).

    Raises
    ------
    InputError
        If it cannot be read, is a JPEG or has colours instead of labels, or labels belong to no
        image.
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
            f"{path} is a picture with colours, not a label image: "
            "save labels as one channel of integers, 0 for background."
        )
    return labels


def label_files(path: Path) -> list[Path]:
    """The files of labels: those of a folder of pictures, or the one file.

    Raises
    ------
    InputError
        If the folder holds none, or one is a JPEG.
    """
    files = folder_images(path) if is_picture_folder(path) else [path]
    for file in files:
        if file.suffix.lower() in JPEG_SUFFIXES:
            # Its noise, a few gray values around every edge, would be taken for classes.
            raise InputError(
                f"{file} is no label image, as JPEG changes labels: save them as PNG or TIFF."
            )
    return files


def is_picture_folder(path: Path) -> bool:
    """Whether a path is a folder of images, one a frame."""
    return path.is_dir() and not is_zarr(path)


def write_labels(path: str | os.PathLike[str], labels: NDArray[Any], axes: str) -> None:
    """Write a label image as compressed TIFF (or one frame as PNG), wholly or not at all.

    Parameters
    ----------
    path : str or path
        Ends in .tif, .tiff or, for a single frame, .png.
    labels : ndarray of unsigned integers
    axes : str
        One letter of T, Z, Y, X for each axis of the labels.

    Raises
    ------
    InputError
        If the file cannot be written, or the format cannot hold the labels.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (*TIFF_SUFFIXES, ".png"):
        raise InputError(f"Labels cannot be written to {path.name}: use .tif or .png.")
    if suffix == ".png" and (labels.ndim != 2 or labels.dtype.itemsize > 2):
        raise InputError(f"{path.name} cannot hold a stack or more than 65535 labels: use .tif.")
    if suffix == ".png":
        with atomic(path) as temporary:
            Image.fromarray(labels).save(temporary)
        return
    pages = labels.reshape(-1, *labels.shape[-2:])
    write_pages(path, iter(pages), labels.shape, labels.dtype, axes)


def write_pages(
    path: Path,
    pages: Iterator[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axes: str,
) -> None:
    """Write labels as compressed TIFF page by page, wholly or not at all.

    Parameters
    ----------
    path : Path
        Ends in .tif or .tiff.
    pages : iterator of ndarray, shape (Y, X)
        As many as there are frames.
    shape : tuple of int
        Leading axes + (Y, X).
    dtype : dtype
    axes : str
        One letter of T, Z, Y, X for each axis.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    with atomic(path) as temporary:
        tifffile.imwrite(
            temporary,
            pages,
            shape=shape,
            dtype=dtype,
            # ImageJ shows more of such a file, but knows no integers of 32 bits.
            imagej=dtype.itemsize <= 2 and imagej_keeps(axes),
            photometric="minisblack",
            compression="zlib",
            metadata={"axes": axes},
        )


def _read(path: Path, *, palette: bool = False) -> tuple[Any, str | None]:
    """An array and its axes; of palette pictures the colours or, told so, the indices."""
    if is_zarr(path):
        return guarded(_read_zarr, path)
    if is_picture_folder(path):
        return _read_folder(path, palette=palette)
    if not path.exists():
        raise InputError(f"There is no image {path}: check the path.")
    if path.suffix.lower() in TIFF_SUFFIXES:
        return guarded(read_tiff, path)
    picture = read_frame(path, palette=palette)
    return picture, "YX" if picture.ndim == 2 else "YXS"


def _read_zarr(path: Path) -> tuple[Any, str | None]:
    opened, axes = open_zarr(path)
    array = Guarded(opened, path)
    # Writers of OME-Zarr, too, like to give five axes to everything.
    if axes is None or 1 not in array.shape[:-2]:
        return array, axes
    squeezed = Squeezed(array)
    return squeezed, "".join(a for a, keep in zip(axes, squeezed.kept, strict=True) if keep)


def _read_folder(folder: Path, *, palette: bool) -> tuple[Any, str]:
    files = folder_images(folder)
    headers = [frame_header(path, palette=palette) for path in files]
    first = headers[0]
    for path, header in zip(files, headers, strict=True):
        if header.shape[:2] != first.shape[:2]:
            raise InputError(
                f"The images of {folder} differ in size: {files[0].name} is {first.shape[:2]} "
                f"pixels, {path.name} is {header.shape[:2]}; put them into folders of their own."
            )
        # Labels mean the same in any type, intensities of 8 and of 16 bits do not.
        if header.dtype != first.dtype and not palette:
            raise InputError(
                f"The images of {folder} differ in type: {files[0].name} is {first.dtype}, "
                f"{path.name} is {header.dtype}; save all of them in the same one."
            )
    colours = any(len(header.shape) == 3 for header in headers)
    shape = (*first.shape[:2], 3) if colours else first.shape
    dtype = np.result_type(*(header.dtype for header in headers))
    reads = [partial(read_frame, path, colours=colours, palette=palette) for path in files]
    return LazyStack(reads, (len(files),), shape, dtype), "ZYXS" if colours else "ZYX"


def _labels_by_name(folder: Path, image: Path) -> tuple[Any, str]:
    names = [path.stem for path in folder_images(image)]
    labels = {path.stem: path for path in label_files(folder)}
    unknown = sorted(labels.keys() - set(names))
    if unknown:
        raise InputError(
            f"{folder / labels[unknown[0]].name} belongs to no image of {image}: "
            "give labels the name of their image."
        )
    frames = {name: read_frame(path, palette=True) for name, path in labels.items()}
    first = next(iter(frames.values()))
    for name, frame in frames.items():
        if frame.ndim != 2 or frame.shape != first.shape:
            raise InputError(
                f"{labels[name]} is no label image of {first.shape[:2]} pixels: save labels as "
                "one channel of integers, of the size of their image."
            )
    dtype = np.result_type(*(frame.dtype for frame in frames.values()))
    empty = np.zeros(first.shape, dtype)
    reads = [partial(np.asarray, frames.get(name, empty)) for name in names]
    return LazyStack(reads, (len(names),), first.shape, dtype), "ZYX"
