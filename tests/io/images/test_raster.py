"""GeoTIFF, read with rasterio, and without it by tifffile."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import Affine, from_origin

from napari_vrp_sam.io.images.opening import open_image
from napari_vrp_sam.io.images.readers import raster
from napari_vrp_sam.io.images.readers.raster import LazyRaster
from napari_vrp_sam.io.metadata import StoredImage

BANDS = np.random.default_rng(0).integers(0, 9000, (5, 96, 80), dtype=np.uint16)
TRANSFORM = from_origin(500_000, 5_300_000, 10, 20)


def write(path: Path, bands: np.ndarray, **options: Any) -> None:
    """Write a tiled raster in UTM zone 33N."""
    options = {"crs": "EPSG:32633", "transform": TRANSFORM, **options}
    descriptions = options.pop("descriptions", ())
    colours = options.pop("colorinterp", ())
    mask = options.pop("mask", None)
    profile = {
        "driver": "GTiff", "count": len(bands), "height": bands.shape[1], "width": bands.shape[2],
        "dtype": bands.dtype, "tiled": True, "blockxsize": 16, "blockysize": 16,
        "compress": "deflate",
    }  # fmt: skip
    internal = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True)
    with internal, rasterio.open(path, "w", **{**profile, **options}) as file:
        file.write(bands)
        if descriptions:
            file.descriptions = descriptions
        if colours:
            file.colorinterp = colours
        if mask is not None:
            file.write_mask(mask)


@pytest.fixture(params=["rasterio", "tifffile"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Library that reads GeoTIFF; the second one if the extra is not installed."""
    if request.param == "tifffile":
        monkeypatch.setattr(raster, "find_spec", lambda _: None)
    return str(request.param)


def as_bands(stored: StoredImage) -> Any:
    """Pixels with the bands first."""
    data = np.ma.asanyarray(stored.data[()])
    assert stored.axes is not None
    return np.moveaxis(data, stored.axes.index("C" if "C" in stored.axes else "S"), 0)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_all_bands_with_their_names_and_place(
    tmp_path: Path, library: str, interleave: str
) -> None:
    names = ("blue", "green", "red", "nir", "swir")
    write(tmp_path / "a.tif", BANDS, descriptions=names, interleave=interleave, nodata=0)
    stored = open_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(as_bands(stored), BANDS)
    assert set(stored.axes or "") == set("CYX")
    found = stored.metadata
    assert found.channel_names == names
    assert found.nodata == 0
    assert found.transform == tuple(TRANSFORM)[:6]
    assert dict(found.pixel_size) == {"Y": 20, "X": 10}
    assert dict(found.units) == {"Y": "metre", "X": "metre"}
    assert rasterio.crs.CRS.from_user_input(found.crs).to_epsg() == 32633


def test_four_bands_are_no_transparency(tmp_path: Path, library: str) -> None:
    write(tmp_path / "a.tif", BANDS[:4], photometric="RGB", alpha="NO")
    stored = open_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(as_bands(stored), BANDS[:4])


def test_alpha_masks_pixels(tmp_path: Path, library: str) -> None:
    colours = (BANDS[:4] // 40).astype(np.uint8)
    colours[3] = 255
    colours[3, :20] = 0
    kinds = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    write(tmp_path / "a.tif", colours, colorinterp=kinds, photometric="RGB", alpha="YES")
    stored = open_image(tmp_path / "a.tif")
    assert set(stored.axes or "") == set("SYX")
    bands = as_bands(stored)
    np.testing.assert_array_equal(bands.data, colours[:3])
    np.testing.assert_array_equal(bands.mask, np.broadcast_to(colours[3] == 0, (3, 96, 80)))


def test_the_mask_of_the_dataset_masks_pixels(tmp_path: Path) -> None:
    valid = np.zeros((96, 80), np.uint8)
    valid[30:60] = 255
    write(tmp_path / "a.tif", BANDS[:1], mask=valid)
    data = open_image(tmp_path / "a.tif").data
    np.testing.assert_array_equal(np.ma.getmaskarray(data), valid == 0)


def test_deep_colours_are_bands(tmp_path: Path, library: str) -> None:
    write(tmp_path / "a.tif", BANDS[:3], photometric="RGB")
    assert set(open_image(tmp_path / "a.tif").axes or "") == set("CYX")


@pytest.mark.parametrize("value", [-9999.0, -3.4028234663852886e38, np.nan])
def test_nodata_in_the_precision_of_the_pixels(tmp_path: Path, library: str, value: float) -> None:
    heights = BANDS[:1].astype(np.float32)
    heights[:, :9] = value
    write(tmp_path / "a.tif", heights, nodata=value)
    stored = open_image(tmp_path / "a.tif")
    nodata = np.float32(stored.metadata.nodata)
    hits = np.isnan(stored.data) if np.isnan(value) else stored.data == nodata
    assert hits.sum() == 9 * 80


def test_windows_of_a_large_raster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.tif", BANDS)
    monkeypatch.setattr("napari_vrp_sam.io.images.opening.SMALL", 0)
    data = open_image(tmp_path / "a.tif").data
    assert isinstance(data, LazyRaster)
    sent = pickle.dumps(data)
    assert len(sent) < 1000
    for selection in (
        (2,), (slice(1, 3), slice(10, 20)), (..., slice(None, None, 3)), (4, 5, 6), (),
        (slice(None), slice(90, 2, -4), -1), (0, slice(40, 40)), (slice(3, 1, -1), 3),
    ):  # fmt: skip
        for array in (data, pickle.loads(sent)):
            np.testing.assert_array_equal(array[selection], BANDS[selection])


def test_overviews_are_ignored(tmp_path: Path, library: str) -> None:
    write(tmp_path / "a.tif", BANDS[:1])
    with rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.build_overviews([2, 4])
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").data, BANDS[0])


def test_palettes_become_colours(tmp_path: Path, library: str) -> None:
    classes = (BANDS[:1] % 3).astype(np.uint8)
    write(tmp_path / "a.tif", classes, photometric="PALETTE")
    with rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.write_colormap(1, {0: (0, 0, 0, 255), 1: (250, 10, 0, 255), 2: (0, 9, 200, 255)})
    stored = open_image(tmp_path / "a.tif")
    assert stored.axes == "YXS"
    np.testing.assert_array_equal(stored.data[classes[0] == 2][0], [0, 9, 200])


def test_a_named_fourth_band_is_not_transparency(tmp_path: Path) -> None:
    """GDAL declares the fourth of four bands of 8 bits as alpha, unless it is told not to."""
    bands = np.random.default_rng(2).integers(0, 250, (4, 96, 80), dtype=np.uint8)
    bands[3, :9] = 0
    write(tmp_path / "a.tif", bands, descriptions=("blue", "green", "red", "nir"))
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.colorinterp[3] == ColorInterp.alpha
    stored = open_image(tmp_path / "a.tif")
    assert stored.axes == "CYX"
    np.testing.assert_array_equal(as_bands(stored), bands)
    assert not np.ma.is_masked(stored.data[()])
    assert stored.metadata.channel_names[3] == "nir"
    for names in ((), ("red", "green", "blue", "Alpha channel")):
        write(tmp_path / "b.tif", bands, descriptions=names)
        assert open_image(tmp_path / "b.tif").data.shape == (3, 96, 80)


def test_pixel_size_of_a_rotated_scene(tmp_path: Path, library: str) -> None:
    transform = Affine.translation(5e5, 5e6) * Affine.rotation(30) * Affine.scale(2, -3)
    write(tmp_path / "a.tif", BANDS[:1], transform=transform)
    stored = open_image(tmp_path / "a.tif")
    assert stored.metadata.pixel_size == pytest.approx({"Y": 3, "X": 2}), library
    assert stored.metadata.transform == pytest.approx(tuple(transform)[:6])
