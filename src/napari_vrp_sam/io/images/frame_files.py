"""Files that hold one frame: pictures and single-page TIFF."""

from __future__ import annotations

import math
import os
import re
import struct
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.errors import InputError

TIFF_SUFFIXES = (".tif", ".tiff")
JPEG_SUFFIXES = (".jpg", ".jpeg")
PICTURE_SUFFIXES = (".png", *JPEG_SUFFIXES)
PALETTE_MODES = ("P", "PA")
COLOUR_MODES = ("CMYK", "YCbCr", "LAB", "HSV")
"""Of pictures whose channels are not red, green and blue."""
SUFFIXES = TIFF_SUFFIXES + PICTURE_SUFFIXES
RESULT_ENDS = ("_labels", "_objects")
"""Of the names that `vrp-sam segment` gives to what it makes of one image, beside it."""

Read = TypeVar("Read")

_PILLOW_LIMIT = threading.Lock()


def folder_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files of a folder in the natural order of their names.

    Left out are hidden files, and the results X_labels and X_objects of an image X beside them.

    Raises
    ------
    InputError
        If there is none, or two have one name but for the suffix.
    """
    files = [
        path
        for path in Path(folder).iterdir()
        # Hidden files are half-written results, or what macOS leaves on foreign disks.
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    if not files:
        raise InputError(f"{folder} holds no image: {', '.join(SUFFIXES)} can be read.")
    names = {path.stem.removesuffix(".ome") for path in files}
    files = sorted((path for path in files if not _is_result(path, names)), key=_natural)
    named: dict[str, Path] = {}
    for path in files:
        # Labels, and what is written, belong to an image by its name without suffix.
        other = named.setdefault(path.stem, path)
        if other is not path:
            raise InputError(
                f"{folder} holds two images of one name, {other.name} and {path.name}: "
                "rename one, or take it out of the folder."
            )
    return files


def _is_result(path: Path, names: Collection[str]) -> bool:
    """Whether a file was made of one of the images of these names."""
    ends = (end for end in RESULT_ENDS if path.stem.endswith(end))
    return any(path.stem.removesuffix(end) in names for end in ends)


def _natural(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts if part]


class FrameHeader(NamedTuple):
    """What a frame is, before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def frame_header(path: Path, *, palette: bool) -> FrameHeader:
    """Shape and type of a frame as `read_frame` gives it, from the file's header.

    Raises
    ------
    InputError
        If the file is damaged or holds more than one frame.
    """

    def read(path: Path) -> FrameHeader:
        if path.suffix.lower() in TIFF_SUFFIXES:
            with tifffile.TiffFile(path) as file:
                series = _only_image(file, path)
                shape = tuple(series.shape[at] for at in _order(series))
                return FrameHeader(_opaque(shape, path), np.dtype(series.dtype))
        deep = _deep_colours(path)
        if deep:
            return FrameHeader(_opaque(deep, path), np.dtype(np.uint16))
        with _open_picture(path) as picture:
            mode = _target_mode(picture.mode, palette=palette)
            pixel = np.asarray(Image.new(mode, (1, 1)))
            shape = (picture.height, picture.width, *pixel.shape[2:])
            return FrameHeader(_opaque(shape, path), pixel.dtype.newbyteorder("="))

    return guarded(read, path)


def frame_shape(path: Path, *, palette: bool) -> tuple[int, ...]:
    """Shape of a frame as `read_frame` gives it, from the file's header."""
    return frame_header(path, palette=palette).shape


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
            with tifffile.TiffFile(path) as file:
                series = _only_image(file, path)
                order = _order(series)
                whole = np.asarray(series.asarray())
                left = [at for at in range(whole.ndim) if at not in order]
                return np.asarray(whole.transpose(left + order)[(0,) * len(left)])
        if _deep_colours(path):
            from imagecodecs import png_decode

            return np.asarray(png_decode(path.read_bytes()))
        with _open_picture(path) as picture:
            mode = _target_mode(picture.mode, palette=palette)
            return np.asarray(picture if mode == picture.mode else picture.convert(mode))

    frame = guarded(read, path)
    shape = _opaque(frame.shape, path)
    if frame.ndim == 3:
        frame = frame[..., : math.prod(shape[2:])].reshape(shape)
    return np.stack([frame] * 3, axis=-1) if colours and frame.ndim == 2 else frame


def images_of(file: tifffile.TiffFile) -> list[tifffile.TiffPageSeries]:
    """The images of a TIFF file, without the smaller copies and the masks of others."""
    if not file.series:
        raise ValueError("it holds no image")
    first, *others = file.series
    return [first, *(o for o in others if not (o.keyframe.is_reduced or o.keyframe.is_mask))]


def alike(images: list[tifffile.TiffPageSeries]) -> bool:
    """Whether images have one shape, type and order of axes."""
    return len({(tuple(image.shape), image.dtype, image.axes) for image in images}) == 1


def _only_image(file: tifffile.TiffFile, path: Path) -> tifffile.TiffPageSeries:
    images = images_of(file)
    # Others than the first that differ from it are the label or the overview of a slide.
    if len(images) > 1 and alike(images):
        raise InputError(
            f"{path} is no single image but holds {len(images)}: give it alone, not in a folder."
        )
    return images[0]


def _order(series: tifffile.TiffPageSeries) -> list[int]:
    """The axes that count, Y, X and samples last: some files hold one colour after the other."""
    sizes = zip(series.axes, series.shape, strict=True)
    kept = [at for at, (axis, size) in enumerate(sizes) if size > 1 or axis in "YX"]
    return sorted(kept, key=lambda at: series.axes[at] == "S")


def _opaque(shape: tuple[int, ...], path: Path) -> tuple[int, ...]:
    """Shape of a frame without transparency."""
    if len(shape) == 3 and shape[-1] in (2, 4):
        shape = shape[:2] if shape[-1] == 2 else (*shape[:2], 3)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[-1] != 3):
        raise InputError(f"{path} is no single image: its shape is {shape}.")
    return shape


def _target_mode(mode: str, *, palette: bool) -> str:
    """What to convert a picture to."""
    if mode in PALETTE_MODES and not palette:
        return "RGBA"
    return "RGB" if mode in COLOUR_MODES else mode


def _deep_colours(path: Path) -> tuple[int, ...] | None:
    """Shape of a PNG with 16 bits a colour, of which Pillow would drop eight; None of others."""
    with path.open("rb") as file:
        start = file.read(26)
    if not start.startswith(b"\x89PNG\r\n\x1a\n") or start[24] != 16:
        return None
    width, height = struct.unpack(">II", start[16:24])
    channels = {2: 3, 4: 2, 6: 4}.get(start[25])
    return (height, width, channels) if channels else None


def _open_picture(path: Path) -> Image.Image:
    """Open a picture of any size: Pillow takes large ones for attacks, the user's own are none."""
    with _PILLOW_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def guarded(read: Callable[[Path], Read], path: Path) -> Read:
    """What `read` returns; whatever a codec makes of a damaged file becomes one sentence."""
    try:
        return read(path)
    except InputError:
        raise
    except Exception as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> InputError:
    """What to tell of a file that its format's library fails to read."""
    if "imagecodecs" in str(error):
        return InputError(
            f"{path} is compressed in a way that needs another package: "
            "python -m pip install imagecodecs."
        )
    return InputError(f"{path} cannot be read as an image: {error}.")
