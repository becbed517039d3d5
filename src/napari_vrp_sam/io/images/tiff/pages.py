"""Pixels of a TIFF image, read page by page after its file was closed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.lazy_stack import LazyStack
from napari_vrp_sam.io.images.read_errors import explain_read_errors
from napari_vrp_sam.io.images.tiff.images import TiffImage
from napari_vrp_sam.io.images.tiff.quiet import quiet_tifffile
from napari_vrp_sam.io.images.tiff.samples import Convert
from napari_vrp_sam.io.images.tiff.windows import LARGE_PAGE, WindowedPage

PageReader = Callable[[], Any]


def open_pages(file: tifffile.TiffFile, image: TiffImage) -> tuple[Any, str]:
    """Return the pixels of an image and its axes.

    Parameters
    ----------
    file : tifffile.TiffFile
        The open file; the pixels are read from its path.
    image : TiffImage

    Returns
    -------
    array : ndarray or lazy array
        Masked where planes are missing or transparent.
    axes : str
    """
    samples = image.samples
    convert = samples.convert
    if convert and image.page_axes.find("S") not in (-1, len(image.page_axes) - 1):
        convert = partial(_planar, image.page_axes.index("S"), convert)
    if convert is None:
        # Bands and planar colours keep their place.
        page_axes = image.page_axes.replace("S", samples.axis)
        page_shape = image.page_shape
    else:
        page_axes = image.page_axes.replace("S", "") + samples.axis
        pixels = [n for n, a in zip(image.page_shape, image.page_axes, strict=True) if a != "S"]
        page_shape = (*pixels, *([samples.count] if samples.axis else []))
    axes = image.lead_axes + page_axes
    if convert is None and len(image.series) == 1 and image.series[0].dataoffset is not None:
        series = image.series[0]
        return _map(*_place(series), (*image.lead_shape, *page_shape)), axes
    readers = [
        reader for one in image.series for reader in _page_readers(one, image, convert, page_shape)
    ]
    lead_shape = image.lead_shape
    if len(readers) != math.prod(lead_shape):  # pages in an unusual order
        readers = [partial(_read_whole, _path(file), file.series.index(image.series[0]), convert)]
        page_shape, lead_shape = (*lead_shape, *page_shape), ()
    return LazyStack(readers, lead_shape, page_shape, samples.dtype), axes


def missing_planes(image: TiffImage) -> list[int]:
    """Return the numbers of the pages that the metadata announce but the file lacks."""
    pages = [page for series in image.series for page in series.pages]
    return [number for number, page in enumerate(pages) if page is None]


def _page_readers(
    series: tifffile.TiffPageSeries,
    image: TiffImage,
    convert: Convert | None,
    converted_shape: tuple[int, ...],
) -> list[PageReader]:
    """Return a function for each page of a series that reads it; none for an unusual layout."""
    shape, dtype = image.page_shape, image.samples.dtype
    count = math.prod(series.shape) // math.prod(shape)
    if series.transform is not None:
        return []
    if series.dataoffset is not None:
        path, offset, stored_dtype = _place(series)
        size = math.prod(shape) * stored_dtype.itemsize
        maps = (partial(_map, path, offset + at * size, stored_dtype, shape) for at in range(count))
        return [partial(_converted, convert, read) for read in maps]
    planar = image.page_axes[0] == "S" and convert is not None
    windows = math.prod(shape) * series.dtype.itemsize > LARGE_PAGE and not planar
    readers: list[PageReader] = []
    for page in series.pages:
        if page is None:
            readers.append(partial(_missing, converted_shape, dtype))
        elif page.offset and not page.is_virtual:
            # OME-TIFF may distribute a stack over several files.
            path = Path(page.parent.filehandle.path)
            read = partial(_read_page, path, page.offset, shape)
            readers.append(
                partial(WindowedPage, path, page.offset, converted_shape, dtype, convert)
                if windows
                else partial(_converted, convert, read)
            )
    return readers if len(readers) == count else []


def _path(file: tifffile.TiffFile) -> Path:
    return Path(file.filehandle.path)


def _place(series: tifffile.TiffPageSeries) -> tuple[Path, int, np.dtype[Any]]:
    """Return the file of a contiguous series, its position, and its dtype with byte order."""
    parent = series.keyframe.parent
    dtype = np.dtype(series.dtype).newbyteorder(parent.byteorder)
    assert series.dataoffset is not None
    return Path(parent.filehandle.path), series.dataoffset, dtype


def _planar(sample_axis: int, convert: Convert, pixels: NDArray[Any]) -> NDArray[Any]:
    return convert(np.moveaxis(pixels, sample_axis, -1))


def _converted(convert: Convert | None, read: PageReader) -> NDArray[Any]:
    pixels = read()
    return convert(native(np.asarray(pixels))) if convert else pixels


def native(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels in the byte order of this computer."""
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _missing(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.ma.MaskedArray(np.zeros(shape, dtype), mask=True)


@explain_read_errors
def _map(path: Path, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    return np.memmap(path, dtype, "r", offset, shape)


@explain_read_errors
def _read_whole(path: Path, index: int, convert: Convert | None) -> NDArray[Any]:
    with quiet_tifffile():
        pixels = np.asarray(tifffile.imread(path, series=index)).squeeze()
    return convert(pixels) if convert else pixels


@explain_read_errors
def _read_page(path: Path, offset: int, shape: Sequence[int]) -> NDArray[Any]:
    """Read the page with tags at an offset; finding one of 5,000 by number would take 0.1 s."""
    with quiet_tifffile(), tifffile.TiffFile(path) as file:
        file.filehandle.seek(offset)
        page = tifffile.TiffPage(file, 0)
        # Before decoding: a damaged page can announce any number of pixels.
        if math.prod(page.shape) != math.prod(shape):
            raise InputError(
                f"{path} is damaged: a page of shape {page.shape} follows pages of shape "
                f"{tuple(shape)}. Write the file again with the program that it is from."
            )
        return np.asarray(page.asarray()).reshape(shape)
