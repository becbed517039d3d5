"""GeoTIFF files of labels and probabilities: cloud-optimised (COG), exactly over their scene."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic
from napari_vrp_sam.io.images.readers.raster import STACK_AXES, STACK_SHAPE
from napari_vrp_sam.io.metadata import ImageMetadata
from napari_vrp_sam.io.optional import require

BLOCK = 512
"""Height and width of the tiles, in pixels."""
ROWS = 4 * BLOCK
"""Number of rows that are in memory at once."""
CACHE_SIZE = 128
"""Memory for the blocks of a file in MB, instead of a share of the whole memory."""
NODATA = 0
"""Value of pixels without a class, or without data in the image."""

ReadRows = Callable[[int, slice], NDArray[Any]]
"""Function of a band index and rows that returns the pixels of these rows, shape (rows, X)."""


def check_geotiff() -> None:
    """Raise an `InputError` if the packages that write GeoTIFF are missing."""
    require("rasterio", "geo", "GeoTIFF files")


def stack_tags(shape: tuple[int, ...], axes: str) -> dict[str, str]:
    """Return the notes from which the axes of several bands are read again."""
    text = ",".join(map(str, shape))
    return {STACK_AXES: axes, STACK_SHAPE: text} if len(shape) > 2 else {}


def write_geotiff(
    path: Path,
    read: ReadRows,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    metadata: ImageMetadata,
    *,
    descriptions: Sequence[str] = (),
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write a cloud-optimised GeoTIFF with overviews, a few rows at a time, atomically.

    Parameters
    ----------
    path : Path
        Path with the suffix .tif or .tiff.
    read : callable
        See `ReadRows`.
    shape : tuple of int
        (bands, Y, X); a band for each frame, or for each class of each frame.
    dtype : dtype
    metadata : ImageMetadata
        CRS and transform to store. Pixels with the value 0 have no data.
    descriptions : sequence of str
        Names of the bands.
    notes : mapping of str to str, optional
        Other values to store by their names.

    Raises
    ------
    InputError
        If the file cannot be written, or rasterio is missing.
    """
    check_geotiff()
    import rasterio
    from rasterio.crs import CRS
    from rasterio.enums import ColorInterp
    from rasterio.errors import RasterioError
    from rasterio.shutil import copy
    from rasterio.windows import Window

    bands, height, width = shape
    assert metadata.transform is not None
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": bands,
        "height": height,
        "width": width,
        "dtype": dtype,
        "crs": CRS.from_user_input(metadata.crs) if metadata.crs else None,
        "transform": rasterio.Affine(*metadata.transform),
        "nodata": NODATA,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "interleave": "band",
        "photometric": "MINISBLACK",  # three or four bands would become colours
        "compress": "LZW",
        "bigtiff": "IF_SAFER",
    }
    with atomic(path) as temporary, rasterio.Env(GDAL_CACHEMAX=CACHE_SIZE):
        # GDAL writes this layout by copying a complete file.
        folder = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.parent))
        try:
            draft = folder / "draft.tif"
            with rasterio.open(draft, "w", **profile) as file:
                for band in range(bands):
                    for top in range(0, height, ROWS):
                        rows = slice(top, min(top + ROWS, height))
                        window = Window(0, top, width, rows.stop - top)
                        file.write(read(band, rows), band + 1, window=window)
                    if band < len(descriptions):
                        file.set_band_description(band + 1, descriptions[band])
                file.update_tags(**(notes or {}))
                file.colorinterp = [ColorInterp.gray, *[ColorInterp.undefined] * (bands - 1)]
            copy(
                draft,
                temporary,
                driver="COG",
                compress="DEFLATE",
                blocksize=BLOCK,
                bigtiff="IF_SAFER",
                overview_resampling="NEAREST",
                resampling="NEAREST",
            )
        except RasterioError as error:
            raise InputError(f"{path} cannot be written: {error}.") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
