"""Files that hold one frame: PNG, JPEG and single-image TIFF."""

from __future__ import annotations

import math
import os
import re
import struct
import threading
from collections.abc import Callable, Collection
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.errors import InputError

TIFF_SUFFIXES = (".tif", ".tiff")
JPEG_SUFFIXES = (".jpg", ".jpeg")
PICTURE_SUFFIXES = (".png", *JPEG_SUFFIXES)
SUFFIXES = TIFF_SUFFIXES + PICTURE_SUFFIXES
PALETTE_MODES = ("P", "PA")
COLOUR_MODES = ("CMYK", "YCbCr", "LAB", "HSV")
"""Pillow modes with other channels than red, green and blue."""
RESULT_NAME_ENDS = ("_labels", "_objects", "_relabelled")
"""Ends of the names of results that `vrp-sam segment` writes beside an image."""

P = ParamSpec("P")
T = TypeVar("T")
PathReader = Callable[Concatenate[Path, P], T]

_PILLOW_LIMIT = threading.Lock()


class FrameHeader(NamedTuple):
    """Shape and dtype of a frame."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def folder_images(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the image files of a folder in the natural order of their names (2 before 10).

    Hidden files are excluded, and so are results beside an image X: X_labels, X_objects and
    X_relabelled.

    Raises
    ------
    InputError
        If the folder holds no image, or two images with the same name except for the suffix.
    """
    files = [
        path
        for path in Path(folder).iterdir()
        # Hidden files are incomplete results, or metadata of macOS on other file systems.
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    if not files:
        raise InputError(f"{folder} holds no image: supported are {', '.join(SUFFIXES)}.")
    names = {path.stem.removesuffix(".ome") for path in files}
    files = sorted((path for path in files if not _is_result(path, names)), key=_natural_order)
    by_name: dict[str, Path] = {}
    for path in files:
        # Labels and results are assigned to images by name without suffix.
        other = by_name.setdefault(path.stem, path)
        if other is not path:
            raise InputError(
                f"{folder} holds two images with the same name, {other.name} and {path.name}: "
                "rename one, or remove it from the folder."
            )
    return files


def explain_read_errors(read: PathReader[P, T]) -> PathReader[P, T]:
    """Decorate a function of a path, so that all its exceptions are `InputError` with the path."""

    @wraps(read)
    def wrapper(path: Path, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(path, *args, **kwargs)
        except InputError:
            raise
        except Exception as error:  # codecs raise exceptions of any type for damaged files
            raise read_error(path, error) from error

    return wrapper


@explain_read_errors
def frame_header(path: Path, *, palette: bool) -> FrameHeader:
    """Return the shape and dtype of the array that `read_frame` returns, from the file's header.

    Raises
    ------
    InputError
        If the file is damaged or holds more than one frame.
    """
    if path.suffix.lower() in TIFF_SUFFIXES:
        with tifffile.TiffFile(path) as file:
            series = _only_image(file, path)
            shape = tuple(series.shape[axis] for axis in _axis_order(series))
            return FrameHeader(_shape_without_alpha(shape, path), np.dtype(series.dtype))
    if shape_16_bit := _shape_of_16_bit_colour_png(path):
        return FrameHeader(_shape_without_alpha(shape_16_bit, path), np.dtype(np.uint16))
    with _open_picture(path) as picture:
        mode = _target_mode(picture.mode, palette=palette)
        pixel = np.asarray(Image.new(mode, (1, 1)))
        shape = (picture.height, picture.width, *pixel.shape[2:])
        return FrameHeader(_shape_without_alpha(shape, path), pixel.dtype.newbyteorder("="))


def frame_shape(path: Path, *, palette: bool) -> tuple[int, ...]:
    """Return the shape of the array that `read_frame` returns, from the file's header."""
    return frame_header(path, palette=palette).shape


@explain_read_errors
def read_frame(path: Path, *, colours: bool = False, palette: bool = False) -> NDArray[Any]:
    """Read one frame.

    Parameters
    ----------
    path : Path
    colours : bool
        Return three equal channels for grayscale images too.
    palette : bool
        Return the indices (labels) instead of the colours of palette images.

    Returns
    -------
    ndarray, shape (Y, X) or (Y, X, 3)
        Pixels without alpha channel.

    Raises
    ------
    InputError
        If the file is damaged or holds more than one frame.
    """
    frame = _read_pixels(path, palette=palette)
    shape = _shape_without_alpha(frame.shape, path)
    if frame.ndim == 3:
        frame = frame[..., : math.prod(shape[2:])].reshape(shape)
    return np.stack([frame] * 3, axis=-1) if colours and frame.ndim == 2 else frame


def full_size_images(file: tifffile.TiffFile) -> list[tifffile.TiffPageSeries]:
    """Return the images of a TIFF file except for downsampled copies and masks."""
    if not file.series:
        raise ValueError("it holds no image")
    first, *others = file.series
    return [first, *(o for o in others if not (o.keyframe.is_reduced or o.keyframe.is_mask))]


def same_layout(images: list[tifffile.TiffPageSeries]) -> bool:
    """Return whether images agree in shape, dtype and order of axes."""
    return len({(tuple(image.shape), image.dtype, image.axes) for image in images}) == 1


def read_error(path: Path, error: Exception) -> InputError:
    """Return the error to raise for a file that a library failed to read."""
    if "imagecodecs" in str(error):
        return InputError(
            f"The compression of {path} requires an additional package: "
            "python -m pip install imagecodecs."
        )
    return InputError(f"{path} cannot be read as an image: {error}.")


def _read_pixels(path: Path, *, palette: bool) -> NDArray[Any]:
    if path.suffix.lower() in TIFF_SUFFIXES:
        with tifffile.TiffFile(path) as file:
            series = _only_image(file, path)
            order = _axis_order(series)
            whole = np.asarray(series.asarray())
            singleton = [axis for axis in range(whole.ndim) if axis not in order]
            return np.asarray(whole.transpose(singleton + order)[(0,) * len(singleton)])
    if _shape_of_16_bit_colour_png(path):
        from imagecodecs import png_decode

        return np.asarray(png_decode(path.read_bytes()))
    with _open_picture(path) as picture:
        mode = _target_mode(picture.mode, palette=palette)
        return np.asarray(picture if mode == picture.mode else picture.convert(mode))


def _is_result(path: Path, names: Collection[str]) -> bool:
    """Return whether a file is a result for one of the images with these names."""
    ends = (end for end in RESULT_NAME_ENDS if path.stem.endswith(end))
    return any(path.stem.removesuffix(end) in names for end in ends)


def _natural_order(path: Path) -> list[tuple[int, int | str]]:
    pieces = re.split(r"(\d+)", path.name.lower())
    return [(0, int(piece)) if piece.isdigit() else (1, piece) for piece in pieces if piece]


def _only_image(file: tifffile.TiffFile, path: Path) -> tifffile.TiffPageSeries:
    images = full_size_images(file)
    # Images that differ from the first are the label or the thumbnail of a slide.
    if len(images) > 1 and same_layout(images):
        raise InputError(
            f"{path} is not a single image but holds {len(images)}: give the file itself instead "
            "of its folder."
        )
    return images[0]


def _axis_order(series: tifffile.TiffPageSeries) -> list[int]:
    """Axes without singletons, samples last: planar files store one colour after the other."""
    sizes = zip(series.axes, series.shape, strict=True)
    axes = [at for at, (axis, size) in enumerate(sizes) if size > 1 or axis in "YX"]
    return sorted(axes, key=lambda at: series.axes[at] == "S")


def _shape_without_alpha(shape: tuple[int, ...], path: Path) -> tuple[int, ...]:
    if len(shape) == 3 and shape[-1] in (2, 4):
        shape = shape[:2] if shape[-1] == 2 else (*shape[:2], 3)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[-1] != 3):
        raise InputError(f"{path} is not a single image: its shape is {shape}.")
    return shape


def _target_mode(mode: str, *, palette: bool) -> str:
    """Pillow mode to convert an image to."""
    if mode in PALETTE_MODES and not palette:
        return "RGBA"
    return "RGB" if mode in COLOUR_MODES else mode


def _shape_of_16_bit_colour_png(path: Path) -> tuple[int, ...] | None:
    """Shape of a PNG with several channels of 16 bits, which Pillow would reduce to 8 bits."""
    with path.open("rb") as file:
        start = file.read(26)
    if not start.startswith(b"\x89PNG\r\n\x1a\n") or start[24] != 16:
        return None
    width, height = struct.unpack(">II", start[16:24])
    channels = {2: 3, 4: 2, 6: 4}.get(start[25])
    return (height, width, channels) if channels else None


def _open_picture(path: Path) -> Image.Image:
    """Open an image of any size, without Pillow's limit against decompression bombs."""
    with _PILLOW_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
