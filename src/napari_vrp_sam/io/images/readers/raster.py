"""GeoTIFF, cloud-optimised GeoTIFF and other rasters of GDAL, read in windows with rasterio."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import PHOTOMETRIC

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.lazy_stack import LazyArray, LazyStack, full_selection
from napari_vrp_sam.io.images.read_errors import explain_read_errors
from napari_vrp_sam.io.images.reader import HEAD_SIZE, ImageReader
from napari_vrp_sam.io.images.tiff.metadata import is_geotiff
from napari_vrp_sam.io.images.tiff.quiet import open_tiff
from napari_vrp_sam.io.metadata import ImageMetadata, StoredImage, pixel_sides
from napari_vrp_sam.io.optional import require

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
NO_NETWORK = {"CPL_VSIL_CURL_ALLOWED_FILENAME": "-", "GDAL_HTTP_PROXY": "http://127.0.0.1:9"}
"""Settings of GDAL that let no request leave this computer."""
ADDRESSES = re.compile(
    rb"<source(?:filename|dataset)[^>]*>[^<]*(?:://|/vsi(?:curl|s3|gs|az|adls|oss|swift|w?e?b?hdfs))"
    rb"|<(?:gdal_wms|wms|wmts|wcs)|\A\s*\{.*://",
    re.DOTALL,
)
"""Addresses of a network, or a driver that uses it, in the lower-case text of a raster."""
MOST_TEXT = 1 << 24
"""Largest number of bytes of such a text that are searched."""
ALPHA_NAME = re.compile("alpha|mask|transparen|opacity", re.IGNORECASE)
"""Descriptions of bands that are not part of the image."""
STACK_AXES, STACK_SHAPE = "stack_axes", "stack_shape"
"""Tags of results with several frames or classes, each of which is a band."""
SUFFIXES = (".vrt", ".img", ".asc", ".bil", ".bsq", ".dem", ".hgt", ".dt2", ".grd", ".ecw")


class LazyRaster(LazyArray):
    """Bands of a raster, of which windows are read when it is indexed.

    Parameters
    ----------
    path : Path
    bands : tuple of int
        Numbers of the bands, counted from 1.
    shape : tuple of int
        (Y, X), or (C, Y, X) with several bands.
    dtype : dtype
    masked : bool
        Read the mask of the dataset, or its alpha band.
    """

    is_frame = True

    def __init__(
        self,
        path: Path,
        bands: tuple[int, ...],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        *,
        masked: bool,
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self._path = path
        self._bands = bands
        self._masked = masked

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        *band, rows, columns = full_selection(selection, self.ndim)
        numbers = np.asarray(self._bands)[band[0] if band else 0]
        (top, height, inner_rows), (left, width, inner_columns) = (
            _window(part, size) for part, size in zip((rows, columns), self.shape[-2:], strict=True)
        )
        window = left, top, width, height
        pixels = _read(self._path, numbers.tolist(), window, masked=self._masked)
        return pixels[..., inner_rows, :][..., inner_columns].astype(self.dtype, copy=False)


def _recognises(path: Path, head: bytes) -> bool:
    """Leave TIFF files without a place on a map, and those with several images, to tifffile."""
    if not head.startswith(TIFF_MAGIC) or find_spec("rasterio") is None:
        return False
    try:
        with open_tiff(path) as file:
            page = file.pages.first
            # Palettes, inks and inverted grays are converted there too.
            plain = page.photometric in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR)
            return is_geotiff(page) and plain and _holds_one_image(file)
    except Exception:  # tifffile says later what is wrong
        return False


def _holds_one_image(file: tifffile.TiffFile) -> bool:
    pages = (page.aspage() for page in file.pages)
    full = [page for page in pages if not (page.is_reduced or page.is_mask)]
    return len(full) == 1 and not file.is_ome


def _open(path: Path, _image: int | None, *, raw: bool) -> StoredImage:  # noqa: ARG001
    require("rasterio", "geo", f"{path.suffix.lstrip('.').upper() or 'Raster'} files")
    from rasterio.enums import ColorInterp, MaskFlags

    with _dataset(path) as dataset:
        if not dataset.count:
            raise ValueError("it holds several rasters: open one of them")
        kinds = dataset.colorinterp
        bands = [
            number
            for number, (kind, name) in enumerate(zip(kinds, dataset.descriptions, strict=True), 1)
            if kind != ColorInterp.alpha or _is_band(name)
        ] or [1]
        flags = dataset.mask_flag_enums[bands[0] - 1]
        masked = MaskFlags.per_dataset in flags and MaskFlags.all_valid not in flags
        if len(bands) == dataset.count and MaskFlags.alpha in flags:
            masked = False
        dtype = np.result_type(*(dataset.dtypes[n - 1] for n in bands))
        metadata = _metadata(dataset, bands)
        size = dataset.height, dataset.width
        used = tuple(kinds[n - 1] for n in bands)
        tags = dataset.tags()
    if STACK_AXES in tags:
        return StoredImage(*_stack(path, tags, size, dtype), metadata)
    shape = size if len(bands) == 1 else (len(bands), *size)
    data = LazyRaster(path, tuple(bands), shape, dtype, masked=masked)
    colours = used == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    axis = "" if len(bands) == 1 else "S" if colours and dtype == np.uint8 else "C"
    return StoredImage(data, axis + "YX", metadata)


def _is_band(description: str | None) -> bool:
    """Return whether a band that GDAL declares as alpha has the name of something else.

    GDAL does so for the fourth of four bands of 8 bits, unless it is told not to.
    """
    return bool(description) and not ALPHA_NAME.search(str(description))


def _stack(
    path: Path, tags: Mapping[str, str], size: tuple[int, int], dtype: np.dtype[Any]
) -> tuple[LazyStack, str]:
    """Return the bands of a result of several frames or classes, and its axes."""
    lead = tuple(map(int, tags[STACK_SHAPE].split(",")))[:-2]
    bands = [LazyRaster(path, (n + 1,), size, dtype, masked=False) for n in range(math.prod(lead))]
    return LazyStack([partial(_same, band) for band in bands], lead, size, dtype), tags[STACK_AXES]


def _same(band: LazyRaster) -> LazyRaster:
    return band


def _metadata(dataset: Any, bands: list[int]) -> ImageMetadata:
    crs, transform = dataset.crs, dataset.transform
    names = [dataset.descriptions[number - 1] or "" for number in bands]
    placed = not transform.is_identity
    unit = None
    if crs:
        unit = "degree" if crs.is_geographic else crs.linear_units
    sizes = pixel_sides(tuple(transform)[:6]) if placed and crs else {}
    nodata = dataset.nodata
    return ImageMetadata(
        pixel_size=sizes,
        units=dict.fromkeys(sizes, unit) if unit else {},
        channel_names=tuple(names) if any(names) else (),
        nodata=None if nodata is None else float(nodata),
        crs=crs.to_wkt() if crs else None,
        transform=tuple(transform)[:6] if placed else None,
    )


def _window(part: Any, size: int) -> tuple[int, int, Any]:
    """Return the first row, the number of rows that enclose a selection, and the index inside."""
    if not isinstance(part, slice):
        number = range(size)[int(part)]
        return number, 1, 0
    numbers = range(size)[part]
    if not len(numbers):
        return 0, 0, slice(0, 0)
    first, last = sorted((numbers[0], numbers[-1]))
    step = numbers.step
    return first, last - first + 1, slice(None, None, step)


@explain_read_errors
def _read(
    path: Path, bands: int | list[int], window: tuple[int, int, int, int], *, masked: bool
) -> NDArray[Any]:
    from rasterio.windows import Window

    place = Window(*window)
    with _dataset(path) as dataset:
        pixels: NDArray[Any] = dataset.read(bands, window=place)
        if not masked:
            return pixels
        missing = dataset.dataset_mask(window=place) == 0
    if not missing.any():
        return pixels
    return np.ma.MaskedArray(pixels, np.broadcast_to(missing, pixels.shape).copy())


@contextmanager
def _dataset(path: Path) -> Iterator[Any]:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        _check_addresses(path)
        # Also not through a local file that this one names.
        with rasterio.Env(**NO_NETWORK), rasterio.open(path) as dataset:
            yield dataset


def _check_addresses(path: Path) -> None:
    """Raise `InputError` for a description of a raster elsewhere, which GDAL would request."""
    with path.open("rb") as file:
        if file.read(HEAD_SIZE).lstrip(b"\xef\xbb\xbf \r\n\t")[:1] not in (b"<", b"{"):
            return
        file.seek(0)
        content = file.read(MOST_TEXT).lower()
    if ADDRESSES.search(content):
        raise InputError(
            f"{path} names an address on a network, and no file makes this program connect to one: "
            "download the image, and open it from the disk."
        )


READER = ImageReader("GeoTIFF, COG", "rasterio", SUFFIXES, _recognises, _open, priority=-1)
