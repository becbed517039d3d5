"""Files that hold one frame: pictures and single-page TIFF."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.errors import InputError

TIFF_SUFFIXES = (".tif", ".tiff")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
PALETTE_MODES = ("P", "PA")
SUFFIXES = TIFF_SUFFIXES + PICTURE_SUFFIXES

Read = TypeVar("Read")


def folder_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files of a folder in the natural order of their names.

    Raises
    ------
    InputError
        If there is none.
    """
    files = [
        path
        for path in Path(folder).iterdir()
        # Hidden files are half-written results, or what macOS leaves on foreign disks.
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    if not files:
        raise InputError(f"{folder} holds no image: {', '.join(SUFFIXES)} can be read.")
    return sorted(files, key=_natural)


def _natural(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts if part]


def frame_shape(path: Path, *, palette: bool) -> tuple[int, ...]:
    """Shape of a frame as `read_frame` gives it, from the file's header."""

    def read(path: Path) -> tuple[int, ...]:
        if path.suffix.lower() in TIFF_SUFFIXES:
            with tifffile.TiffFile(path) as file:
                shape = tuple(size for size in file.series[0].shape if size > 1)
                return shape if len(shape) == 2 else (*shape[:2], 3)
        with Image.open(path) as picture:
            gray = len(picture.getbands()) < 3 and (palette or picture.mode not in PALETTE_MODES)
            return (picture.height, picture.width) if gray else (picture.height, picture.width, 3)

    return guarded(read, path)


def read_frame(path: Path, *, colours: bool = False, palette: bool = False) -> NDArray[Any]:
    """Read one frame.

    Parameters
    ----------
    path : Path
    colours : bool
        Give gray frames three equal channels too.
    palette : bool
        Of a palette picture, read the indices (labels) instead of the colours.

    Returns
    -------
    ndarray, shape (Y, X) or (Y, X, 3)
        Transparency is dropped.

    Raises
    ------
    InputError
        If the file is damaged or holds more than one frame.
    """

    def read(path: Path) -> NDArray[Any]:
        if path.suffix.lower() in TIFF_SUFFIXES:
            return np.asarray(tifffile.imread(path)).squeeze()
        with Image.open(path) as picture:
            flat = picture.mode in PALETTE_MODES and not palette
            return np.asarray(picture.convert("RGB") if flat else picture)

    frame = guarded(read, path)
    if frame.ndim == 3 and frame.shape[-1] in (2, 4):
        frame = frame[..., :-1].squeeze()
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[-1] != 3):
        raise InputError(f"{path} is no single image: its shape is {frame.shape}.")
    return np.stack([frame] * 3, axis=-1) if colours and frame.ndim == 2 else frame


def guarded(read: Callable[[Path], Read], path: Path) -> Read:
    """What `read` returns; whatever a codec makes of a damaged file becomes one sentence."""
    try:
        return read(path)
    except InputError:
        raise
    except Exception as error:
        if "imagecodecs" in str(error):
            raise InputError(
                f"{path} is compressed in a way that needs another package: "
                "python -m pip install imagecodecs."
            ) from error
        raise InputError(f"{path} cannot be read as an image: {error}.") from error
