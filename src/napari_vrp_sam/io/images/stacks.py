"""Image stacks and label images: TIFF, OME-Zarr, folders of images, single images."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.frame_files import JPEG_SUFFIXES, folder_images, is_pattern
from napari_vrp_sam.io.images.frame_names import file_order
from napari_vrp_sam.io.images.lazy_stack import LazyStack, in_order
from napari_vrp_sam.io.images.opening import load_small, open_file, open_image
from napari_vrp_sam.io.images.zarr_arrays.ome_zarr import is_zarr
from napari_vrp_sam.io.metadata import StoredImage


def read_stack(
    path: str | os.PathLike[str], *, image: int | str | None = None
) -> tuple[Any, str | None]:
    """Open an image stack without its metadata, see `open_image`.

    Parameters
    ----------
    path : str or path
    image : int or str, optional

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
    stored = open_image(path, image=image)
    return stored.data, stored.axes


def read_frame(
    path: str | os.PathLike[str], *, colours: bool = False, palette: bool = False
) -> NDArray[Any]:
    """Read a file with one frame.

    Parameters
    ----------
    path : str or path
    colours : bool
        Return three equal channels for grayscale images too.
    palette : bool
        Return the indices (labels) instead of the colours of palette images.

    Returns
    -------
    ndarray, shape (Y, X) or (Y, X, C)
        Masked where the image is transparent.

    Raises
    ------
    InputError
        If the file is damaged or holds more than one frame.
    """
    stored = _open_frame(path, palette=palette)
    frame: NDArray[Any] = np.asanyarray(stored.data[()])
    if stored.axes and stored.axes[0] in "CS":
        frame = np.moveaxis(frame, 0, -1)
    return np.repeat(frame[..., None], 3, axis=-1) if colours and frame.ndim == 2 else frame


def frame_shape(path: str | os.PathLike[str], *, palette: bool = False) -> tuple[int, ...]:
    """Return the shape of the array that `read_frame` returns, from the file's header."""
    stored = _open_frame(path, palette=palette)
    shape = tuple(stored.data.shape)
    return (*shape[1:], shape[0]) if stored.axes and stored.axes[0] in "CS" else shape


def read_labels(
    path: str | os.PathLike[str],
    image: str | os.PathLike[str] | None = None,
    *,
    axes: str | None = None,
) -> Any:
    """Open a label image of a stack or of one frame.

    Parameters
    ----------
    path : str or path
        See `read_stack`, except for JPEG. Palette images are read as indices, not as colours.
    image : str or path, optional
        The labelled image. If both are folders, labels are assigned to the image of the same
        name, and images without labels are not annotated.
    axes : str, optional
        Axes of the labelled stack without C and S, such as "ZTYX": labels whose file has the same
        axes in another order, as OME-Zarr requires it, are returned in this one.

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
    if image is not None and is_picture_folder(path) and is_picture_folder(Path(image)):
        stored = StoredImage(*_labels_by_name(path, Path(image)))
    else:
        stored = load_small(open_file(path, raw=True))
    if stored.axes and not set(stored.axes).isdisjoint("CS"):
        raise InputError(
            f"{path} has colours or channels and is not a label image: save labels as one channel "
            "of integers, 0 for background."
        )
    return stored.data if stored.axes_guessed else in_order(stored.data, stored.axes, axes)


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
    return is_pattern(path) or (path.is_dir() and not is_zarr(path))


def frame_file_names(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the frames of a folder, without suffix, in the order of the stack.

    Returns
    -------
    list of str
        Empty for images that are not a folder with one file for each frame.
    """
    return [file.stem for file in frame_files(path)]


def frame_files(path: str | os.PathLike[str]) -> list[Path]:
    """Return the files of the frames of a folder, in the order of the stack.

    Returns
    -------
    list of Path
        Empty for images that are not a folder with one file for each frame.
    """
    path = Path(path)
    if not is_picture_folder(path):
        return []
    files = folder_images(path)
    order = file_order([file.stem for file in files])
    one_frame_each = set(open_file(files[0]).axes or "") <= {*"YXCS"}
    if order is None or "C" in order.axes or (order.files < 0).any() or not one_frame_each:
        return []
    return [files[number] for number in order.files.ravel()]


def _open_frame(path: str | os.PathLike[str], *, palette: bool) -> StoredImage:
    stored = open_file(path, raw=palette)
    if not set(stored.axes or "ZYX"[-len(stored.data.shape) :]) <= {*"YXCS"}:
        raise InputError(
            f"{path} is not a single image but a stack of the shape {tuple(stored.data.shape)}: "
            "give the file itself instead of its folder."
        )
    return stored


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
    order = file_order(names)
    assert order is not None
    # Labels of several channels have the name of the first.
    numbers = order.files[..., 0] if "C" in order.axes else order.files
    ordered = ("" if number < 0 else names[number] for number in numbers.ravel().tolist())
    readers = [partial(np.asarray, frames.get(name, empty)) for name in ordered]
    axes = order.axes.replace("C", "") + "YX"
    return LazyStack(readers, numbers.shape, first.shape, dtype), axes
