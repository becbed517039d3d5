"""Samples of TIFF pixels, as a viewer shows them: colours, bands, alpha, palettes and inks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import EXTRASAMPLE, PHOTOMETRIC

from napari_vrp_sam.io.images.masking import mask_transparent

Convert = Callable[[NDArray[Any]], NDArray[Any]]
ALPHA = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)
CMYK_INK_SET = 1


@dataclass(frozen=True)
class Samples:
    """Samples of each pixel after the conversion.

    Parameters
    ----------
    axis : str
        "S" for red, green and blue, "C" for bands, "" for one value.
    count : int
        Number of samples.
    dtype : dtype
    convert : callable, optional
        Function that converts pixels as they are stored, with their samples on the last axis if
        there are several; None if they are stored as needed.
    """

    axis: str
    count: int
    dtype: np.dtype[Any]
    convert: Convert | None = None


def page_samples(page: tifffile.TiffPage, *, raw: bool) -> Samples:
    """Return the samples of a page.

    Parameters
    ----------
    page : tifffile.TiffPage
    raw : bool
        Keep the indices of palette images, and gray values that are stored inverted.
    """
    dtype = np.dtype(page.dtype)
    colours = page.samplesperpixel - len(page.extrasamples)
    conversion = _colour_conversion(page, colours, dtype, raw=raw)
    alpha = [at + colours for at, kind in enumerate(page.extrasamples) if kind in ALPHA]
    if conversion is not None:
        channels, dtype, convert = conversion
        if page.samplesperpixel > colours or alpha:
            convert = partial(_convert_colours, colours, alpha, convert)
        return Samples("S" if channels == 3 else "", channels, dtype, convert)
    used = [at for at in range(page.samplesperpixel) if at not in alpha[:1]]
    is_rgb = page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR) and len(used) == 3
    if page.is_geotiff and dtype.itemsize > 1:
        is_rgb = False  # bands of a sensor, which differ in range
    axis = "" if len(used) == 1 else "S" if is_rgb else "C"
    return Samples(axis, len(used), dtype, partial(_mask_alpha, used, alpha[0]) if alpha else None)


def _colour_conversion(
    page: tifffile.TiffPage, colours: int, dtype: np.dtype[Any], *, raw: bool
) -> tuple[int, np.dtype[Any], Convert] | None:
    """Number of channels, dtype and function of a conversion to gray or RGB."""
    kind = page.photometric
    byte = np.dtype(np.uint8)
    if kind == PHOTOMETRIC.PALETTE and page.colormap is not None and not raw:
        return 3, byte, partial(_look_up, _palette(page.colormap))
    inverted = kind == PHOTOMETRIC.MINISWHITE and colours == 1
    if inverted and dtype.kind in ("b" if raw else "bu"):
        return 1, dtype, partial(_invert, 2 ** int(page.bitspersample) - 1)
    is_cmyk = kind == PHOTOMETRIC.SEPARATED and colours == 4 and dtype.kind == "u"
    if is_cmyk and page.tags.valueof("InkSet", CMYK_INK_SET) == CMYK_INK_SET:
        return 3, dtype, _cmyk_to_rgb
    if kind in (PHOTOMETRIC.CIELAB, PHOTOMETRIC.ICCLAB) and colours == 3 and dtype.kind == "u":
        return 3, byte, partial(_lab_to_rgb, kind == PHOTOMETRIC.CIELAB)
    jpeg = page.compression in (6, 7, 34892)  # whose decoders return RGB
    if kind == PHOTOMETRIC.YCBCR and colours == 3 and dtype == byte and not jpeg:
        return 3, byte, _ycbcr_to_rgb
    return None


def _mask_alpha(used: list[int], alpha: int, pixels: NDArray[Any]) -> NDArray[Any]:
    """Remove the alpha sample, and mask transparent pixels."""
    values = pixels[..., used[0]] if len(used) == 1 else pixels[..., used]
    return mask_transparent(values, pixels[..., alpha] == 0)


def _convert_colours(
    colours: int, alpha: list[int], convert: Convert, pixels: NDArray[Any]
) -> NDArray[Any]:
    """Convert the colours of pixels that have extra samples, of which alpha is kept as a mask."""
    converted = convert(pixels[..., 0] if colours == 1 else pixels[..., :colours])
    return mask_transparent(converted, pixels[..., alpha[0]] == 0) if alpha else converted


def _palette(colormap: NDArray[Any]) -> NDArray[np.uint8]:
    """Colours of a palette; some programs store them as 8 instead of 16 bits."""
    return (colormap >> 8 if colormap.max() > 255 else colormap).astype(np.uint8).T


def _look_up(palette: NDArray[np.uint8], indices: NDArray[Any]) -> NDArray[Any]:
    colours: NDArray[Any] = palette[indices.astype(np.intp, copy=False)]  # 1 bit is read as bool
    return colours


def _invert(largest: int, values: NDArray[Any]) -> NDArray[Any]:
    inverted: NDArray[Any] = (
        ~values if values.dtype == bool else values.dtype.type(largest) - values
    )
    return inverted


def _cmyk_to_rgb(inks: NDArray[Any]) -> NDArray[Any]:
    """Convert as Pillow does, without a colour profile."""
    largest = float(np.iinfo(inks.dtype).max)
    light = largest - inks.astype(np.float64)
    return np.rint(light[..., :3] * light[..., 3:] / largest).astype(inks.dtype)


def _lab_to_rgb(signed: bool, lab: NDArray[Any]) -> NDArray[Any]:  # noqa: FBT001
    from skimage.color import lab2rgb

    largest = np.iinfo(lab.dtype).max
    scaled = lab.astype(np.float64)
    light = scaled[..., :1] * (100 / largest)
    half = (largest + 1) // 2
    # CIELAB stores a and b as two's complement, ICCLAB with an offset.
    chroma = (scaled[..., 1:] + half * signed) % (2 * half) - half
    rgb = lab2rgb(np.concatenate([light, chroma * (128 / half)], axis=-1))
    return np.asarray(np.rint(rgb * 255), np.uint8)


def _ycbcr_to_rgb(ycbcr: NDArray[Any]) -> NDArray[Any]:
    from PIL import Image

    flat = np.ascontiguousarray(ycbcr.reshape(-1, ycbcr.shape[-2], 3))
    picture = Image.frombytes("YCbCr", (flat.shape[1], flat.shape[0]), flat.tobytes())
    return np.asarray(picture.convert("RGB")).reshape(ycbcr.shape)
