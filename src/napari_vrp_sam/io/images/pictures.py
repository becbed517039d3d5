"""Pictures that Pillow reads: one frame, or the frames of an animation."""

from __future__ import annotations

import contextlib
import math
import struct
import threading
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from napari_vrp_sam.io.images.masking import mask_transparent
from napari_vrp_sam.io.images.read_errors import explain_read_errors

ALPHA_MODES = {"LA": "L", "La": "L", "PA": "RGB", "RGBA": "RGB", "RGBa": "RGB"}
"""Pillow modes with alpha, and the mode of their colours."""
COLOUR_MODES = ("CMYK", "YCbCr", "LAB", "HSV", "RGBX")
"""Pillow modes with other channels than red, green and blue."""
FRAME_FORMATS = ("GIF", "PNG", "WEBP", "AVIF", "DCX", "FLI", "SPIDER", "IM")
"""Formats whose frames form a stack; in others they are layers, sizes or previews."""

MOST_COMPRESSED = 4000
"""Number of bytes of pixels that a byte of a file can stand for: deflate reaches 1032."""
ALWAYS_READ = 2**28
"""Size in bytes up to which frames are read whatever the size of the file."""

_PILLOW_LIMIT = threading.Lock()


class PictureHeader(NamedTuple):
    """Number of frames, and shape and dtype of each."""

    frames: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def picture_header(path: Path, *, raw: bool) -> PictureHeader:
    """Return what the header of a picture tells about the arrays that `read_picture` returns."""
    if shape := _shape_of_16_bit_colour_png(path):
        samples = {2: (), 4: (3,)}.get(shape[-1], shape[2:])
        return PictureHeader(1, (*shape[:2], *samples), np.dtype(np.uint16))
    with open_picture(path) as picture:
        count = getattr(picture, "n_frames", 1) if picture.format in FRAME_FORMATS else 1
        mode = _mode(picture, raw=raw)
        size = picture.size[::-1] if count == 1 and _orientation(picture) > 4 else picture.size
        if count > 1:  # the palette of the second frame decides on the type of all others
            picture.seek(1)
            mode = "RGB" if "RGB" in (mode, _mode(picture, raw=raw)) else mode
        pixel = np.asarray(Image.new(mode, (1, 1)))
        shape = (size[1], size[0], *pixel.shape[2:])
        _check_size(path, shape, pixel.dtype)
        return PictureHeader(count, shape, pixel.dtype.newbyteorder("="))


def _check_size(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse a frame that its file cannot hold, or the memory of this computer."""
    size, held = math.prod(shape) * dtype.itemsize, path.stat().st_size
    if size <= ALWAYS_READ:
        return
    stated = f"its header states {shape[1]} x {shape[0]} pixels ({size / 1e9:,.1f} GB)"
    if size > held * MOST_COMPRESSED:
        raise ValueError(f"{stated}, more than the {held:,} bytes of the file can hold")
    import psutil

    memory = psutil.virtual_memory().total
    if size > memory:
        raise ValueError(
            f"{stated}, but this computer has {memory / 1e9:,.1f} GB of memory; save it as tiled "
            "TIFF, which is read in windows"
        )


@explain_read_errors
def read_picture(path: Path, *, raw: bool) -> NDArray[Any]:
    """Read the first frame of a picture, upright as viewers show a photograph.

    Parameters
    ----------
    path : Path
    raw : bool
        Return the indices of palette images instead of their colours.

    Returns
    -------
    ndarray, shape (Y, X) or (Y, X, 3)
        Masked where the picture is transparent.
    """
    if _shape_of_16_bit_colour_png(path):
        from imagecodecs import png_decode

        pixels = np.asarray(png_decode(path.read_bytes()))
        if pixels.shape[-1] == 3:
            return pixels
        colours = pixels[..., 0] if pixels.shape[-1] == 2 else pixels[..., :3]
        return mask_transparent(colours, pixels[..., -1] == 0)
    with open_picture(path) as picture:
        upright = ImageOps.exif_transpose(picture) if _orientation(picture) > 1 else picture
        return to_array(upright, _mode(picture, raw=raw))


def to_array(picture: Image.Image, mode: str) -> NDArray[Any]:
    """Return the pixels of a picture in a mode without alpha, masked where it is transparent."""
    if not has_alpha(picture):
        pixels = np.asarray(picture if mode == picture.mode else picture.convert(mode))
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if mode == "P":
        return np.asarray(picture)
    colours = picture.convert(mode + "A")
    pixels = np.asarray(colours)
    values = pixels[..., 0] if mode == "L" else pixels[..., :3]
    return mask_transparent(values, pixels[..., -1] == 0)


def has_alpha(picture: Image.Image) -> bool:
    """Return whether pixels of a picture may be transparent."""
    return picture.mode in ALPHA_MODES or (
        "transparency" in picture.info and picture.mode in ("L", "P", "RGB")
    )


def open_picture(path: Path) -> Image.Image:
    """Open an image of any size, without Pillow's limit against decompression bombs."""
    with _PILLOW_LIMIT, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rare formats, and damages that Pillow works around
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _orientation(picture: Image.Image) -> int:
    """Return how a camera was held, 1 to 8; from 5 on, height and width are exchanged."""
    with contextlib.suppress(Exception):  # damaged notes of a camera
        found = picture.getexif().get(ExifTags.Base.Orientation)
        return found if isinstance(found, int) and 1 <= found <= 8 else 1
    return 1


def _mode(picture: Image.Image, *, raw: bool) -> str:
    """Pillow mode to convert a picture to, before its alpha is removed."""
    if picture.mode in ("P", "PA"):
        return "P" if raw else "RGB"
    if picture.mode in COLOUR_MODES:
        return "RGB"
    return ALPHA_MODES.get(picture.mode, picture.mode)


def frame_mode(shape: tuple[int, ...]) -> str:
    """Return the Pillow mode of the frames of an animation."""
    return "RGB" if len(shape) == 3 else "L"


def _shape_of_16_bit_colour_png(path: Path) -> tuple[int, ...] | None:
    """Shape of a PNG with several channels of 16 bits, which Pillow would reduce to 8 bits."""
    with path.open("rb") as file:
        start = file.read(26)
    if not start.startswith(b"\x89PNG\r\n\x1a\n") or start[24] != 16:
        return None
    width, height = struct.unpack(">II", start[16:24])
    channels = {2: 3, 4: 2, 6: 4}.get(start[25])
    return (height, width, channels) if channels else None
