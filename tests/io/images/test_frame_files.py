from __future__ import annotations

import struct
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
from napari_vrp_sam.io.images.frame_files import folder_images
from napari_vrp_sam.io.images.opening import open_file
from napari_vrp_sam.io.images.stacks import frame_shape, read_frame, read_labels, read_stack


def frame_header(path: Path, *, palette: bool) -> tuple[tuple[int, ...], np.dtype]:
    dtype = open_file(path, raw=palette).data.dtype
    return frame_shape(path, palette=palette), dtype.newbyteorder("=")


COLOURS = np.random.default_rng(0).integers(0, 255, (20, 30, 4), dtype=np.uint8)
GRAY_16_BIT = np.random.default_rng(0).integers(0, 60000, (20, 30), dtype=np.uint16)


@pytest.mark.parametrize("palette", [False, True])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_the_header_describes_the_frame(tmp_path: Path, mode: str, palette: bool) -> None:
    picture = Image.fromarray(GRAY_16_BIT) if mode == "I;16" else Image.fromarray(COLOURS)
    picture.convert(mode).save(tmp_path / "a.png")
    frame = read_frame(tmp_path / "a.png", palette=palette)
    assert frame_header(tmp_path / "a.png", palette=palette) == (frame.shape, frame.dtype)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_other_colour_spaces_become_rgb(tmp_path: Path, mode: str) -> None:
    blot = Image.new("RGB", (30, 20), (200, 30, 90))
    blot.convert(mode).save(tmp_path / "a.jpg", quality=95)
    frame = read_frame(tmp_path / "a.jpg")
    assert frame_header(tmp_path / "a.jpg", palette=False) == (frame.shape, frame.dtype)
    assert np.abs(frame.mean((0, 1)) - (200, 30, 90)).max() < 3


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colours_keep_their_depth(tmp_path: Path, channels: int) -> None:
    pixels = np.dstack([GRAY_16_BIT // (at + 1) for at in range(channels)])
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    np.testing.assert_array_equal(read_frame(tmp_path / "a.png"), pixels[..., :3])
    assert frame_header(tmp_path / "a.png", palette=False) == ((20, 30, 3), np.uint16)


def test_16_bit_gray_with_alpha_keeps_its_depth(tmp_path: Path) -> None:
    rows = np.stack([GRAY_16_BIT, np.full_like(GRAY_16_BIT, 65535)], axis=-1).astype(">u2")
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
    np.testing.assert_array_equal(read_frame(tmp_path / "a.png"), GRAY_16_BIT)
    assert frame_header(tmp_path / "a.png", palette=False) == ((20, 30), np.uint16)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_colour_tiff_of_any_layout(
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


def test_alpha_of_gray_tiff_is_dropped(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        COLOURS[..., :2],
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    assert frame_shape(tmp_path / "a.tif", palette=False) == (20, 30)
    np.testing.assert_array_equal(read_frame(tmp_path / "a.tif"), COLOURS[..., 0])


def test_several_frames_in_one_file_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in (GRAY_16_BIT, GRAY_16_BIT + 1):
            file.write(page)
    tifffile.imwrite(tmp_path / "b.tif", np.stack([GRAY_16_BIT] * 5), photometric="minisblack")
    for name, number in (("a.tif", 2), ("b.tif", 5)):
        for read in (read_frame, partial(frame_shape, palette=False)):
            with pytest.raises(
                InputError, match=rf"{name} is not a single image .* \({number}, 20, 30\)"
            ):
                read(tmp_path / name)


def test_downsampled_copies_are_ignored(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GRAY_16_BIT)
        file.write(GRAY_16_BIT, subfiletype=1)
    np.testing.assert_array_equal(read_frame(tmp_path / "a.tif"), GRAY_16_BIT)


def test_images_of_any_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert Image.MAX_IMAGE_PIXELS == 100  # for other users of Pillow


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(GRAY_16_BIT.astype(np.uint8)).save(tmp_path / "images" / name)
    return tmp_path / "images"


def test_two_images_with_the_same_name_are_refused(images: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    for name in ("a.png", "a.tif"):
        tifffile.imwrite(labels / name, GRAY_16_BIT)
    message = r"the same name, a\.png and a\.tif"
    for read in (folder_images, read_stack, read_labels, partial(read_labels, image=images)):
        with pytest.raises(InputError, match=message):
            read(labels)
    (labels / "a.tif").unlink()
    tifffile.imwrite(images / "a.tif", GRAY_16_BIT.astype(np.uint8))
    with pytest.raises(InputError, match=message):
        read_labels(labels, images)


def test_results_beside_their_image_are_excluded(images: Path) -> None:
    for name in ("a_labels.png", "a_objects.tif", "a_labels_labels.png", "b_labels.tif"):
        tifffile.imwrite(images / name, GRAY_16_BIT)
    for name in ("d.1.ome.tif", "d.1_labels.tif", "c_labels.png", "_labels.png", "labels.png"):
        tifffile.imwrite(images / name, GRAY_16_BIT.astype(np.uint8))
    kept = [path.name for path in folder_images(images)]
    assert kept == ["_labels.png", "a.png", "b.png", "c_labels.png", "d.1.ome.tif", "labels.png"]


@pytest.mark.parametrize("name", ["0.tif", "c.tif"])
def test_images_of_mixed_depth_are_refused(images: Path, name: str) -> None:
    tifffile.imwrite(images / name, GRAY_16_BIT)
    with pytest.raises(InputError, match=r"differ in type: .* is uint\d+, .* is uint\d+") as error:
        read_stack(images)
    assert name in str(error.value)


@pytest.mark.parametrize("name", ["0.tif", "c.tif"])
def test_labels_of_mixed_depth_are_promoted(images: Path, name: str) -> None:
    tifffile.imwrite(images / name, GRAY_16_BIT)
    labels = read_labels(images)
    assert labels.dtype == np.uint16
    number = 0 if name == "0.tif" else 2
    np.testing.assert_array_equal(labels[number], GRAY_16_BIT)
    np.testing.assert_array_equal(labels[1], GRAY_16_BIT.astype(np.uint8))


def test_a_frame_that_changed_its_type_is_refused(images: Path) -> None:
    array, _ = read_stack(images)
    Image.fromarray(GRAY_16_BIT).save(images / "b.png")
    with pytest.raises(InputError, match="has the type uint16, but its stack has uint8"):
        array[1]
