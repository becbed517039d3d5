"""TIFF of every kind: suffixes, several images, missing planes, bands, colours and metadata."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.io.images.opening import image_names, open_file, open_image

STACK = np.random.default_rng(0).integers(0, 250, (6, 24, 32), dtype=np.uint8)
BANDS = np.random.default_rng(1).integers(0, 9000, (24, 32, 10), dtype=np.uint16)


@pytest.mark.parametrize(
    "name",
    ["a.TIFF", "a.lsm", "a.stk", "a.btf", "a.ome.tf8", "a.svs", "a.qptiff", "a.flex", "a", "a.png"],
)
def test_the_suffix_does_not_matter(tmp_path: Path, name: str) -> None:
    tifffile.imwrite(
        tmp_path / name, STACK, photometric="minisblack", metadata={"axes": "ZYX"},
        ome=".ome" in name, bigtiff=name.endswith(("btf", "tf8")),
    )  # fmt: skip
    stored = open_image(tmp_path / name)
    assert stored.axes == "ZYX"
    np.testing.assert_array_equal(stored.data, STACK)


def test_a_preview_is_not_the_stack(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(STACK[0, ::2, ::2], photometric="minisblack")
        file.write(STACK, photometric="minisblack", metadata={"axes": "TYX"})
    with pytest.warns(UserWarning, match=r"0: 12 x 16, 1: 6 x 24 x 32\): number 1 is used"):
        stored = open_image(tmp_path / "a.tif")
    assert stored.axes == "TYX"
    np.testing.assert_array_equal(stored.data, STACK)
    preview = open_image(tmp_path / "a.tif", image="12 x 16")
    np.testing.assert_array_equal(preview.data, STACK[0, ::2, ::2])


def test_frames_written_in_several_parts_are_one_stack(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(STACK[0], photometric="minisblack")
        file.write(STACK[1:], photometric="minisblack", metadata={"axes": "TYX"})
    with pytest.warns(UserWarning, match="number 0 is used"):
        stored = open_image(tmp_path / "a.tif")
    assert stored.axes == "TYX"
    np.testing.assert_array_equal(np.asarray(stored.data), STACK)
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif", image=2).data, STACK[1:])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_images_of_ome_tiff_have_names(tmp_path: Path, compression: str | None) -> None:
    images = {"overview": STACK[0, :20, :20], "Pos0": STACK[:3], "Pos1": STACK[3:]}
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for name, image in images.items():
            metadata = {"axes": "TYX"[-image.ndim :], "Name": name}
            file.write(image, photometric="minisblack", metadata=metadata, compression=compression)
    assert image_names(tmp_path / "a.ome.tif") == list(images)
    with pytest.warns(UserWarning, match=r"1: 'Pos0' \(3 x 24 x 32\).*number 1 is used"):
        np.testing.assert_array_equal(
            np.asarray(open_image(tmp_path / "a.ome.tif").data), STACK[:3]
        )
    for number, (name, image) in enumerate(images.items()):
        for choice in (number, str(number), name):
            stored = open_image(tmp_path / "a.ome.tif", image=choice)
            np.testing.assert_array_equal(np.asarray(stored.data), image)


def test_missing_planes_are_masked_and_not_shifted(tmp_path: Path) -> None:
    places = [(0, 0), (0, 1), (1, 1), (2, 0)]
    described = "".join(
        f'<TiffData IFD="{number}" FirstC="0" FirstT="{t}" FirstZ="{z}" PlaneCount="1"/>'
        for number, (t, z) in enumerate(places)
    )
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0" Name="stopped"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
        'Type="uint8" SizeX="32" SizeY="24" SizeC="1" SizeZ="2" SizeT="3"><Channel ID="Channel:0" '
        f'SamplesPerPixel="1"/>{described}</Pixels></Image></OME>'
    )
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=False) as file:
        for number in range(4):
            file.write(
                STACK[number], photometric="minisblack", metadata=None,
                description=None if number else xml,
            )  # fmt: skip
    with pytest.warns(UserWarning, match="lacks 2 of its 6 planes, the first at T 1, Z 0"):
        stored = open_image(tmp_path / "a.ome.tif")
    assert (stored.axes, stored.data.shape) == ("TZYX", (3, 2, 24, 32))
    for number, place in enumerate(places):
        frame = stored.data[place]
        np.testing.assert_array_equal(frame, STACK[number])
        assert not np.ma.getmaskarray(frame).any()
    for data in (stored.data, pickle.loads(pickle.dumps(stored.data))):
        assert np.ma.getmaskarray(data[1, 0]).all()
        assert np.ma.getmaskarray(data[:, 0]).sum() == 24 * 32


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("count", [2, 3, 4, 10])
def test_samples_are_bands_unless_the_file_says_alpha(
    tmp_path: Path, count: int, planar: str, compression: str | None
) -> None:
    bands = BANDS[..., :count]
    stored = np.moveaxis(bands, -1, 0) if planar == "separate" else bands
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=planar,
        compression=compression, metadata=None,
    )  # fmt: skip
    image = open_image(tmp_path / "a.tif")
    assert sorted(image.axes or "") == ["C", "X", "Y"]
    at = (image.axes or "").index("C")
    np.testing.assert_array_equal(np.moveaxis(np.asarray(image.data), at, -1), bands)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("frames", [1, 4])
def test_transparent_pixels_are_masked(
    tmp_path: Path, count: int, planar: str, frames: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (frames, 24, 32, count + 1), dtype=np.uint8)
    pixels[..., -1] = 255
    pixels[:, :9, :, -1] = 0
    stored = np.moveaxis(pixels, -1, 1) if planar == "separate" else pixels
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="rgb" if count == 3 else "minisblack",
        planarconfig=planar, extrasamples=["unassalpha"], metadata=None,
    )  # fmt: skip
    image = open_image(tmp_path / "a.tif")
    assert image.axes == ("Z" if frames > 1 else "") + "YX" + ("S" if count == 3 else "")
    data = np.ma.asanyarray(image.data[()]).reshape(frames, 24, 32, count)
    np.testing.assert_array_equal(data.data, pixels[..., :count])
    assert data.mask[:, :9].all()
    assert not data.mask[:, 9:].any()


def test_a_fourth_band_beside_colours_is_kept(tmp_path: Path) -> None:
    bands = BANDS[..., :4]
    tifffile.imwrite(
        tmp_path / "a.tif", bands, photometric="rgb", extrasamples=["unspecified"], metadata=None
    )
    stored = open_image(tmp_path / "a.tif")
    assert stored.axes == "YXC"
    np.testing.assert_array_equal(stored.data, bands)


@pytest.mark.parametrize("frames", [1, 3])
def test_inks_are_shown_as_colours(tmp_path: Path, frames: int) -> None:
    inks = np.zeros((frames, 24, 32, 4), np.uint8)
    inks[..., 3] = 255 - STACK[:frames]
    inks[:, :5, :, 0] = 255  # cyan
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated", metadata=None)
    stored = open_image(tmp_path / "a.tif")
    shown = np.asarray(stored.data).reshape(frames, 24, 32, 3)
    np.testing.assert_array_equal(shown[:, 5:], np.repeat(STACK[:frames, 5:, :, None], 3, -1))
    assert not shown[:, :5, :, 0].any()
    np.testing.assert_array_equal(shown[:, :5, :, 1], STACK[:frames, :5])


def test_inverted_gray_is_shown_as_brightness(tmp_path: Path) -> None:
    for dtype in (np.uint8, np.uint16):
        stack = STACK.astype(dtype)
        tifffile.imwrite(tmp_path / "a.tif", stack, photometric="miniswhite", metadata=None)
        shown = np.asarray(open_image(tmp_path / "a.tif").data)
        np.testing.assert_array_equal(shown, np.iinfo(dtype).max - stack)
        np.testing.assert_array_equal(open_file(tmp_path / "a.tif", raw=True).data, stack)


def test_bilevel_masks_are_white_where_they_are_shown_white(tmp_path: Path) -> None:
    mask = STACK[0] > 120
    for photometric, stored in (("minisblack", mask), ("miniswhite", ~mask)):
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, metadata=None)
        for raw in (False, True):
            np.testing.assert_array_equal(open_file(tmp_path / "a.tif", raw=raw).data[()], mask)


def test_palettes_are_colours_or_labels(tmp_path: Path) -> None:
    palette = np.zeros((3, 256), np.uint16)
    palette[:, 2] = 65535, 256 * 30, 0
    labels = (STACK % 3).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", labels, photometric="palette", colormap=palette)
    stored = open_image(tmp_path / "a.tif")
    assert stored.axes == "ZYXS"
    np.testing.assert_array_equal(np.unique(stored.data[:][labels == 2], axis=0), [[255, 30, 0]])
    np.testing.assert_array_equal(open_file(tmp_path / "a.tif", raw=True).data, labels)


def test_lab_is_shown_as_colours(tmp_path: Path) -> None:
    from PIL import Image, ImageCms

    colours = Image.new("RGB", (32, 24), (200, 40, 90))
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(colours, *profiles, outputMode="LAB")
    lab.save(tmp_path / "a.tif")
    shown = np.asarray(open_image(tmp_path / "a.tif").data)
    assert np.abs(shown.reshape(-1, 3).mean(0) - (200, 40, 90)).max() < 6


def test_calibration_of_ome_tiff(tmp_path: Path) -> None:
    metadata = {
        "axes": "TCZYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 250,
        "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 1.5, "TimeIncrement": 2, "TimeIncrementUnit":
        "min", "Channel": {"Name": ["DAPI", "GFP"]},
    }  # fmt: skip
    data = np.zeros((2, 2, 3, 24, 32), np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata=metadata)
    found = open_image(tmp_path / "a.ome.tif").metadata
    assert dict(found.pixel_size) == {"T": 2, "Z": 1.5, "Y": 250, "X": 0.25}
    assert dict(found.units) == {
        "T": "minute", "Z": "micrometer", "Y": "nanometer", "X": "micrometer"
    }  # fmt: skip
    assert found.channel_names == ("DAPI", "GFP")


@pytest.mark.parametrize("unit", ["um", "micron", r"\u00B5m"])
def test_calibration_of_imagej(tmp_path: Path, unit: str) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", STACK.reshape(2, 3, 24, 32), imagej=True, resolution=(4, 5),
        metadata={"axes": "TZYX", "unit": unit, "spacing": 0.7, "finterval": 3.5},
    )  # fmt: skip
    found = open_image(tmp_path / "a.tif").metadata
    assert dict(found.pixel_size) == pytest.approx({"T": 3.5, "Z": 0.7, "Y": 0.2, "X": 0.25})
    assert dict(found.units) == {**dict.fromkeys("ZYX", "micrometer"), "T": "second"}


def test_a_resolution_for_printers_is_no_calibration(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, resolution=(72, 72), resolutionunit="inch")
    assert not open_image(tmp_path / "a.tif").metadata.pixel_size


def test_windows_of_large_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 96, 4), dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"], tile=(16, 16),
        compression="zlib", metadata=None,
    )  # fmt: skip
    tifffile.imwrite(
        tmp_path / "b.tif", pixels, photometric="minisblack", tile=(16, 16), compression="zlib",
        planarconfig="contig", metadata=None,
    )  # fmt: skip
    monkeypatch.setattr("napari_vrp_sam.io.images.tiff.pages.LARGE_PAGE", 100)
    monkeypatch.setattr("napari_vrp_sam.io.images.opening.SMALL", 100)
    for name, count in (("a.tif", 3), ("b.tif", 4)):
        data = open_image(tmp_path / name).data
        assert data.shape == (64, 96, count)
        for array in (data, pickle.loads(pickle.dumps(data))):
            for selection in (
                (slice(3, 40), slice(10, 90, 2)), (5,), (slice(None), 7), (..., 1), (9, 8, 2), (),
            ):  # fmt: skip
                expected = pixels[..., :count][selection]
                np.testing.assert_array_equal(np.asarray(array[selection]), expected)


@pytest.mark.parametrize("codec", ["zstd", "lzma", "jpeg2000", "webp", "lzw", "packbits"])
def test_compression(tmp_path: Path, codec: str) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    options: dict[str, Any] = {"compressionargs": {"lossless": True}} if codec == "webp" else {}
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb", compression=codec, **options)
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").data, colours)


@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_a_page_that_announces_more_pixels_is_refused(
    tmp_path: Path, tile: tuple[int, int] | None
) -> None:
    stack = np.random.default_rng(0).integers(0, 250, (3, 32, 48), dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", stack, compression="zlib", tile=tile, photometric="minisblack"
    )
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages[2].aspage().tags["ImageLength"].overwrite(4000)
    stored = open_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(stored.data[1], stack[1])
    with pytest.raises(InputError, match=r"is damaged: a page of shape \(4000, 48\)"):
        stored.data[2]


def test_pages_in_a_circle_are_refused(tmp_path):
    """tifffile follows them for ever."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((3, 32, 32), np.uint8), photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        first, last = file.pages.first.offset, file.pages[-1].offset
    content = bytearray(path.read_bytes())
    end = last + 2 + 12 * int.from_bytes(content[last : last + 2], "little")
    content[end : end + 4] = first.to_bytes(4, "little")
    path.write_bytes(content)
    for read in (open_image, image_names):
        with pytest.raises(InputError, match="in a circle"):
            read(path)


@pytest.mark.parametrize(
    ("axes", "options"),
    [
        ("CYXS", {"photometric": "rgb", "ome": True}),
        ("ZCYXS", {"photometric": "rgb", "ome": True}),
        ("CSYX", {"photometric": "rgb", "planarconfig": "separate", "ome": True}),
        ("TCYXS", {"photometric": "rgb", "imagej": True}),
        ("CYXS", {"photometric": "minisblack", "planarconfig": "contig", "ome": True}),
    ],
)
def test_colours_of_several_channels_are_bands(
    tmp_path: Path, axes: str, options: dict[str, Any]
) -> None:
    samples = 3 if options["photometric"] == "rgb" else 2
    sizes = {"T": 3, "Z": 4, "C": 2, "Y": 24, "X": 32, "S": samples}
    shape = [sizes[axis] for axis in axes]
    pixels = np.random.default_rng(0).integers(0, 250, shape, dtype=np.uint8)
    metadata: dict[str, Any] = {"axes": axes}
    if options.get("ome"):
        metadata["Channel"] = {"Name": ["a", "b"]}
    tifffile.imwrite(tmp_path / "a.tif", pixels, metadata=metadata, **options)
    stored = open_image(tmp_path / "a.tif")
    assert stored.axes == axes.replace("S", "")
    lead = [axes.index(axis) for axis in axes if axis in "TZ"]
    order = [*lead, *(axes.index(axis) for axis in "CSYX")]
    turned = pixels.transpose(order)
    expected = turned.reshape(*turned.shape[: len(lead)], 2 * samples, 24, 32)
    np.testing.assert_array_equal(np.asarray(stored.data), expected)
    where = (0,) * len(lead)
    for bands in (3, slice(1, 3), slice(None, None, 2), slice(3, 3)):
        np.testing.assert_array_equal(stored.data[(*where, bands)], expected[(*where, bands)])
        np.testing.assert_array_equal(stored.data[..., bands, 5:9, 3], expected[..., bands, 5:9, 3])
    first = "a" if options.get("ome") else "channel 0"
    kinds = ["red", "green", "blue"] if samples == 3 else ["sample 0", "sample 1"]
    assert stored.metadata.channel_names[:samples] == tuple(f"{first} {kind}" for kind in kinds)
    frame = Frames(stored.data, stored.axes)[0]
    np.testing.assert_array_equal(frame, np.moveaxis(expected[where], 0, -1))
