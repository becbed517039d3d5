from __future__ import annotations

import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.frame_files import (
    folder_images,
    frame_header,
    frame_shape,
    read_frame,
)
from napari_vrp_sam.io.images.stacks import read_labels, read_stack

COLOURS = np.random.default_rng(0).integers(0, 255, (20, 30, 4), dtype=np.uint8)
DEEP = np.random.default_rng(0).integers(0, 60000, (20, 30), dtype=np.uint16)


@pytest.mark.parametrize("palette", [False, True])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_header_of_pictures_tells_what_is_read(tmp_path: Path, mode: str, palette: bool) -> None:
    picture = Image.fromarray(DEEP) if mode == "I;16" else Image.fromarray(COLOURS)
    picture.convert(mode).save(tmp_path / "a.png")
    frame = read_frame(tmp_path / "a.png", palette=palette)
    assert frame_header(tmp_path / "a.png", palette=palette) == (frame.shape, frame.dtype)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_other_colours_become_red_green_and_blue(tmp_path: Path, mode: str) -> None:
    blot = Image.new("RGB", (30, 20), (200, 30, 90))
    blot.convert(mode).save(tmp_path / "a.jpg", quality=95)
    frame = read_frame(tmp_path / "a.jpg")
    assert frame_header(tmp_path / "a.jpg", palette=False) == (frame.shape, frame.dtype)
    assert np.abs(frame.mean((0, 1)) - (200, 30, 90)).max() < 3


@pytest.mark.parametrize("channels", [3, 4])
def test_deep_colours_stay_deep(tmp_path: Path, channels: int) -> None:
    pixels = np.dstack([DEEP // (at + 1) for at in range(channels)])
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    np.testing.assert_array_equal(read_frame(tmp_path / "a.png"), pixels[..., :3])
    assert frame_header(tmp_path / "a.png", palette=False) == ((20, 30, 3), np.uint16)


def test_deep_gray_with_transparency_stays_deep(tmp_path: Path) -> None:
    rows = np.stack([DEEP, np.full_like(DEEP, 65535)], axis=-1).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", 30, 20, 16, 4, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )
    np.testing.assert_array_equal(read_frame(tmp_path / "a.png"), DEEP)
    assert frame_header(tmp_path / "a.png", palette=False) == ((20, 30), np.uint16)


def test_what_deep_colours_need_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.dstack([DEEP] * 3)))
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(InputError, match="python -m pip install imagecodecs"):
        read_frame(tmp_path / "a.png")


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_colours_of_tiff_in_either_order(
    tmp_path: Path, planar: str, samples: int, byteorder: str
) -> None:
    pixels = COLOURS[..., :samples].astype(np.uint16)
    stored = pixels.transpose(2, 0, 1) if planar == "separate" else pixels
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, byteorder=byteorder
    )
    np.testing.assert_array_equal(read_frame(tmp_path / "a.tif"), pixels[..., :3])
    assert frame_header(tmp_path / "a.tif", palette=False) == ((20, 30, 3), np.uint16)
    array, axes = read_stack(tmp_path)
    assert axes == "ZYXS"
    np.testing.assert_array_equal(np.asarray(array)[0], pixels[..., :3])


def test_transparency_of_gray_tiff_is_dropped(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        COLOURS[..., :2],
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    assert frame_shape(tmp_path / "a.tif", palette=False) == (20, 30)
    np.testing.assert_array_equal(read_frame(tmp_path / "a.tif"), COLOURS[..., 0])


def test_several_pages_are_no_frame(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in (DEEP, DEEP + 1):
            file.write(page)
    tifffile.imwrite(tmp_path / "b.tif", np.stack([DEEP] * 5), photometric="minisblack")
    for name, number in (("a.tif", "holds 2"), ("b.tif", r"shape is \(5, 20, 30\)")):
        for read in (read_frame, partial(frame_shape, palette=False)):
            with pytest.raises(InputError, match=rf"{name} is no single image.*{number}"):
                read(tmp_path / name)


def test_smaller_copies_are_no_frames_of_their_own(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(DEEP)
        file.write(DEEP, subfiletype=1)
    np.testing.assert_array_equal(read_frame(tmp_path / "a.tif"), DEEP)


def test_pictures_of_any_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / "a.png", tmp_path / "b.jpg"]
    for path in paths:
        Image.fromarray(COLOURS[..., :3]).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(paths[0])
    with ThreadPoolExecutor(8) as pool:
        frames = list(pool.map(read_frame, paths * 100))
        shapes = list(pool.map(partial(frame_shape, palette=False), paths * 100))
    assert {frame.shape for frame in frames} == set(shapes) == {(20, 30, 3)}
    (tmp_path / "c.png").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="cannot be read"):
        read_frame(tmp_path / "c.png")
    assert Image.MAX_IMAGE_PIXELS == 100  # others may be strict


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(DEEP.astype(np.uint8)).save(tmp_path / "images" / name)
    return tmp_path / "images"


def test_images_of_one_name_are_told(images: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    for name in ("a.png", "a.tif"):
        tifffile.imwrite(labels / name, DEEP)
    message = r"one name, a\.png and a\.tif"
    for read in (folder_images, read_stack, read_labels, partial(read_labels, image=images)):
        with pytest.raises(InputError, match=message):
            read(labels)
    (labels / "a.tif").unlink()
    tifffile.imwrite(images / "a.tif", DEEP.astype(np.uint8))
    with pytest.raises(InputError, match=message):
        read_labels(labels, images)


def test_results_beside_their_image_are_no_frames(images: Path) -> None:
    for name in ("a_labels.png", "a_objects.tif", "a_labels_labels.png", "b_labels.tif"):
        tifffile.imwrite(images / name, DEEP)
    for name in ("d.1.ome.tif", "d.1_labels.tif", "c_labels.png", "_labels.png", "labels.png"):
        tifffile.imwrite(images / name, DEEP.astype(np.uint8))
    kept = [path.name for path in folder_images(images)]
    assert kept == ["_labels.png", "a.png", "b.png", "c_labels.png", "d.1.ome.tif", "labels.png"]


@pytest.mark.parametrize("name", ["0.tif", "c.tif"])
def test_images_of_mixed_depth_are_told(images: Path, name: str) -> None:
    tifffile.imwrite(images / name, DEEP)
    with pytest.raises(InputError, match=r"differ in type: .* is uint\d+, .* is uint\d+") as told:
        read_stack(images)
    assert name in str(told.value)


@pytest.mark.parametrize("name", ["0.tif", "c.tif"])
def test_labels_of_mixed_depth_are_kept(images: Path, name: str) -> None:
    tifffile.imwrite(images / name, DEEP)
    labels = read_labels(images)
    assert labels.dtype == np.uint16
    number = 0 if name == "0.tif" else 2
    np.testing.assert_array_equal(labels[number], DEEP)
    np.testing.assert_array_equal(labels[1], DEEP.astype(np.uint8))


def test_a_frame_that_became_deeper_is_told(images: Path) -> None:
    array, _ = read_stack(images)
    Image.fromarray(DEEP).save(images / "b.png")
    with pytest.raises(InputError, match="type uint16 lies in a stack of type uint8"):
        array[1]
