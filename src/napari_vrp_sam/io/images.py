"""Image stacks and label images: TIFF files, folders of images, single pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import tifffile
from dask.delayed import delayed
from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.atomic import atomic
from napari_vrp_sam.io.frame_files import (
    TIFF_SUFFIXES,
    folder_images,
    frame_shape,
    guarded,
    read_frame,
)


def read_stack(path: str | os.PathLike[str]) -> tuple[Any, str]:
    """Open an image; of a stack, frames are read when they are indexed.

    Parameters
    ----------
    path : str or path
        A TIFF file (ImageJ, OME and plain ones; their axes are known, a nameless axis is taken
        for Z), a picture (PNG, JPEG), or a folder of images, one a frame, in the natural order of
        their names (2 before 10).

    Returns
    -------
    array : ndarray or dask array
    axes : str
        One letter of T, Z, C, Y, X, S for each axis.

    Raises
    ------
    InputError
        If there is nothing there that can be read, or the images of a folder differ in size.
    """
    return _read(Path(path))


def read_labels(path: str | os.PathLike[str], image: str | os.PathLike[str] | None = None) -> Any:
    """Open a label image of a stack, or of one frame.

    Parameters
    ----------
    path : str or path
        As `read_stack` takes it; of a palette picture the indices are read, not the colours.
    image : str or path, optional
        The labelled image. Where both are folders, labels belong to the image of the same name,
        and images without labels are not annotated.

    Returns
    -------
    ndarray or dask array, integer or bool
        Shape (Y, X), or leading axes + (Y, X).

    Raises
    ------
    InputError
        If it cannot be read or has colours instead of labels, or labels belong to no image.
    """
    path = Path(path)
    labels: Any
    if path.is_dir() and image is not None and Path(image).is_dir():
        labels, axes = _labels_by_name(path, Path(image))
    else:
        labels, axes = _read(path, palette=True)
    if "C" in axes or "S" in axes:
        raise InputError(
            f"{path} is a picture with colours, not a label image: "
            "save labels as one channel of integers, 0 for background."
        )
    return labels


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
    with atomic(path) as temporary:
        if suffix == ".png":
            Image.fromarray(labels).save(temporary)
            return
        tifffile.imwrite(
            temporary,
            labels,
            # ImageJ knows axes, but no integers of 32 bits.
            imagej=labels.dtype.itemsize <= 2,
            photometric="minisblack",
            compression="zlib",
            metadata={"axes": axes},
        )


def _read(path: Path, *, palette: bool = False) -> tuple[Any, str]:
    """An array and its axes; of palette pictures the colours or, told so, the indices."""
    if path.is_dir():
        return _read_folder(path, palette=palette)
    if not path.exists():
        raise InputError(f"There is no image {path}: check the path.")
    if path.suffix.lower() in TIFF_SUFFIXES:
        return guarded(_read_tiff, path)
    picture = read_frame(path, palette=palette)
    return picture, "YX" if picture.ndim == 2 else "YXS"


def _read_tiff(path: Path) -> tuple[Any, str]:
    with tifffile.TiffFile(path) as file:
        if not file.series:
            raise ValueError("it holds no image")
        series = file.series[0]
        shape, dtype, pages = tuple(series.shape), series.dtype, len(series)
        page_shape = tuple(series.keyframe.shape)
        axes = _known_axes(series.axes, shape)
        contiguous = series.dataoffset is not None
    if contiguous:
        data: Any = tifffile.memmap(path, mode="r", series=0)
    elif pages > 1 and shape[-len(page_shape) :] == page_shape:
        reads = [partial(_read_page, path, page) for page in range(pages)]
        data = _stacked(reads, page_shape, dtype).reshape(shape)
    else:
        data = tifffile.imread(path, series=0)
    kept = [size > 1 or axis in "YX" for size, axis in zip(shape, axes, strict=True)]
    data = data.reshape([size for size, keep in zip(shape, kept, strict=True) if keep])
    return data, "".join(axis for axis, keep in zip(axes, kept, strict=True) if keep)


def _read_page(path: Path, page: int) -> NDArray[Any]:
    return np.asarray(guarded(lambda p: tifffile.imread(p, series=0, key=page), path))


def _known_axes(axes: str, shape: Sequence[int]) -> str:
    """Give axes that the file leaves nameless a letter of ours."""
    known = list(axes.upper())
    free = [letter for letter in "ZT" if letter not in known]
    for index, letter in enumerate(known):
        if letter not in "TZCYXS" and shape[index] > 1 and free:
            known[index] = free.pop(0)
    return "".join(known)


def _read_folder(folder: Path, *, palette: bool) -> tuple[Any, str]:
    files = folder_images(folder)
    first = read_frame(files[0], palette=palette)
    shapes = [frame_shape(path, palette=palette) for path in files]
    for path, shape in zip(files, shapes, strict=True):
        if shape[:2] != first.shape[:2]:
            raise InputError(
                f"The images of {folder} differ in size: {files[0].name} is {first.shape[:2]} "
                f"pixels, {path.name} is {shape[:2]}; put them into folders of their own."
            )
    colours = any(len(shape) == 3 for shape in shapes)
    shape = (*first.shape[:2], 3) if colours else first.shape
    reads = [partial(read_frame, path, colours=colours, palette=palette) for path in files]
    return _stacked(reads, shape, first.dtype), "ZYXS" if colours else "ZYX"


def _labels_by_name(folder: Path, image: Path) -> tuple[Any, str]:
    names = [path.stem for path in folder_images(image)]
    labels = {path.stem: path for path in folder_images(folder)}
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
    return _stacked(reads, first.shape, dtype), "ZYX"


def _stacked(
    reads: Sequence[Callable[[], NDArray[Any]]], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Any:
    """A dask array of frames, each of which is read when it is asked for."""
    frames = [da.from_delayed(delayed(read)(), shape, dtype) for read in reads]  # type: ignore[no-untyped-call]
    return da.stack(frames)  # type: ignore[no-untyped-call]
