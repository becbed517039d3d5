"""Opening of images of any format: the reader is chosen by the content of the file."""

from __future__ import annotations

import importlib
import os
import pkgutil
from dataclasses import replace
from functools import cache
from pathlib import Path

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import exists
from napari_vrp_sam.io.images.frame_files import is_pattern
from napari_vrp_sam.io.images.lazy_stack import LazyArray
from napari_vrp_sam.io.images.merged_samples import merge_samples
from napari_vrp_sam.io.images.read_errors import explain_read_errors
from napari_vrp_sam.io.images.reader import HEAD_SIZE, ImageReader
from napari_vrp_sam.io.metadata import StoredImage

SMALL = 2**27
"""Largest size in bytes of a single frame that is read when it is opened."""


@cache
def readers() -> tuple[ImageReader, ...]:
    """Return the readers of all formats: `READER` of each module in the package `readers`."""
    package = importlib.import_module("napari_vrp_sam.io.images.readers")
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in sorted(names)]
    return tuple(sorted((module.READER for module in modules), key=lambda r: r.priority))


@cache
def image_suffixes() -> frozenset[str]:
    """Return all parts of the suffixes of image files, such as .nii and .gz of .nii.gz."""
    names = (suffix for reader in readers() for suffix in (*reader.suffixes, ".ome"))
    return frozenset(f".{part}" for name in names for part in name.split(".") if part)


def open_image(path: str | os.PathLike[str], *, image: int | str | None = None) -> StoredImage:
    """Open an image lazily.

    All supported formats are recognised; pixels are read when they are accessed.

    Parameters
    ----------
    path : str or path
        Image file, OME-Zarr image, folder of images, one for each frame, or pattern with wildcards,
        such as `scan/*_ch1.tif`. The format is recognised by the content of the file, then by its
        suffix.
    image : int or str, optional
        Number or name of the image in a file of several, see `image_names`; default: the main
        image, which is the one with most pixels.

    Returns
    -------
    StoredImage

    Raises
    ------
    InputError
        If there is no such image, or it cannot be read.

    Examples
    --------
    >>> stored = open_image("scene.ome.tif", image="Position 2")  # doctest: +SKIP
    >>> stored.axes, stored.metadata.pixel_size["Z"]  # doctest: +SKIP
    ('ZYX', 0.5)
    """
    stored = open_file(path, image)
    return explain_read_errors(lambda _: load_small(stored))(Path(path))


def image_names(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the images, series or scenes in a file, in their order.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    path = _existing(path)
    return explain_read_errors(find_reader(path).image_names)(path)


def open_file(
    path: str | os.PathLike[str], image: int | str | None = None, *, raw: bool = False
) -> StoredImage:
    """Open an image without reading pixels, see `open_image`.

    Parameters
    ----------
    path : str or path
    image : int or str, optional
    raw : bool
        Keep indices of palettes and inverted gray values, as label images need it.
    """
    path = _existing(path)
    reader = find_reader(path)
    number = None if image is None else _number(path, reader, image)
    return merge_samples(explain_read_errors(reader.open)(path, number, raw=raw))


def find_reader(path: Path) -> ImageReader:
    """Return the reader of a file or folder.

    Raises
    ------
    InputError
        If no reader knows the format.
    """
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(HEAD_SIZE)
    for reader in readers():
        if reader.recognises(path, head):
            return reader
    name = path.name.lower()
    for reader in readers():
        if name.endswith(reader.suffixes):
            return reader
    raise InputError(
        f"{path} cannot be read as an image: its format is unknown. Save it as TIFF or PNG."
    )


def load_small(stored: StoredImage) -> StoredImage:
    """Read a single frame at once, instead of each time it is indexed, unless it is large."""
    data = stored.data
    if isinstance(data, LazyArray) and data.is_frame and data.nbytes <= SMALL:
        return replace(stored, data=data[()])
    return stored


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path).absolute()  # worker processes may have another working directory
    if not exists(path) and not is_pattern(path):
        raise InputError(f"There is no image at {path}: check the path.")
    return path


def _number(path: Path, reader: ImageReader, image: int | str) -> int:
    """Return the index of an image, given its number or name."""
    names = reader.image_names(path)
    if isinstance(image, str) and names.count(image) == 1:
        return names.index(image)
    text = str(image).strip()
    if text.isdecimal() and int(text) < len(names):
        return int(text)
    listed = ", ".join(f"{number} ({name})" for number, name in enumerate(names[:20]))
    more = f", and {len(names) - 20} more" if len(names) > 20 else ""
    raise InputError(f"{path} has no image {image}: choose one of {listed}{more}.")
