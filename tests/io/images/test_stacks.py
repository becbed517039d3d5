from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.io.images.stacks import read_labels, read_stack


@pytest.fixture
def stack() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60000, (2, 3, 20, 30), dtype=np.uint16)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_imagej_hyperstack(tmp_path: Path, stack: np.ndarray, compression: str | None) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZCYX"}, compression=compression
    )
    array, axes = read_stack(tmp_path / "a.tif")
    assert axes == "ZCYX"
    assert not isinstance(array, np.ndarray) or isinstance(array, np.memmap)  # lazy
    frames = Frames(array, axes)
    np.testing.assert_array_equal(frames[1], stack[1].transpose(1, 2, 0))


def test_axes_of_length_one_are_dropped(tmp_path: Path, stack: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", stack[:, None, :1], metadata={"axes": "TZCYX"})
    array, axes = read_stack(tmp_path / "a.ome.tif")
    assert axes == "TYX"
    np.testing.assert_array_equal(array, stack[:, 0])


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_separate_pages_are_a_stack(
    tmp_path: Path, stack: np.ndarray, name: str, compression: str | None, byteorder: str
) -> None:
    with tifffile.TiffWriter(tmp_path / name, byteorder=byteorder) as file:
        for page in stack[0]:
            file.write(page, photometric="minisblack", compression=compression)
        file.write(page[::2, ::2], photometric="minisblack", subfiletype=1)
    array, axes = read_stack(tmp_path / name)
    assert (axes, array.dtype) == ("ZYX", np.uint16)
    sent = pickle.dumps(array)
    assert len(sent) < stack[0].nbytes
    for opened in (array, pickle.loads(sent)):
        np.testing.assert_array_equal(opened[1], stack[0, 1])
        np.testing.assert_array_equal(np.asarray(opened), stack[0])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_separate_volumes_are_a_stack(
    tmp_path: Path, stack: np.ndarray, compression: str | None
) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for volume in stack:
            file.write(volume, photometric="minisblack", compression=compression)
    array, axes = read_stack(tmp_path / "a.tif")
    assert axes == "TZYX"
    np.testing.assert_array_equal(np.asarray(array), stack)
    frames = Frames(array, axes)
    np.testing.assert_array_equal(frames[4][..., 0], stack[1, 1])
    # Other pages are not read.
    whole = (tmp_path / "a.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        at, size = file.pages[2].dataoffsets[0], file.pages[2].databytecounts[0]
    (tmp_path / "a.tif").write_bytes(whole[:at] + bytes(size) + whole[at + size :])
    np.testing.assert_array_equal(frames[4][..., 0], stack[1, 1])


def test_pages_of_another_layout_are_another_image(tmp_path: Path, stack: np.ndarray) -> None:
    pages = {"size": stack[0, 0, :10], "depth": stack[0, 0].astype(np.uint8)}
    for name, other in pages.items():
        with tifffile.TiffWriter(tmp_path / f"{name}.tif") as file:
            for page in (stack[0, 0], stack[0, 1], other):
                file.write(page, photometric="minisblack")
        path = tmp_path / f"{name}.tif"
        with pytest.warns(UserWarning, match=r"holds 2 images \(0: 2 x 20 x 30, 1: .* number 0 is"):
            array, axes = read_stack(path)
        assert axes == "ZYX"
        np.testing.assert_array_equal(np.asarray(array), stack[0, :2])
        np.testing.assert_array_equal(read_stack(path, image=1)[0], other)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        for page in (stack[0, 0], pages["size"]):
            file.write(page, photometric="minisblack")
    with pytest.warns(UserWarning, match="holds 2 images .* number 0 is used"):
        array, axes = read_stack(tmp_path / "a.ome.tif")
    assert axes == "YX"
    np.testing.assert_array_equal(array, stack[0, 0])


def test_several_images_with_all_axes_are_chosen_by_number(
    tmp_path: Path, stack: np.ndarray
) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for image in (stack, stack + 1):
            file.write(image, photometric="minisblack", metadata={"axes": "TZYX"})
    with pytest.warns(UserWarning, match="holds 2 images"):
        np.testing.assert_array_equal(read_stack(tmp_path / "a.tif")[0], stack)
    np.testing.assert_array_equal(read_stack(tmp_path / "a.tif", image=1)[0], stack + 1)
    with pytest.raises(InputError, match=r"has no image 2: choose one of 0 \(.*1 \("):
        read_stack(tmp_path / "a.tif", image=2)


@pytest.mark.parametrize("metadata", [{}, None])
def test_unknown_axes_are_z(tmp_path: Path, stack: np.ndarray, metadata: dict | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stack[0], metadata=metadata, photometric="minisblack")
    array, axes = read_stack(tmp_path / "a.tif")
    assert axes == "ZYX"
    np.testing.assert_array_equal(array, stack[0])


def test_rgb_tiff(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (4, 20, 30, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    array, axes = read_stack(tmp_path / "a.tif")
    assert axes == "ZYXS"
    assert Frames(array, axes).rgb


def test_a_folder_of_gray_and_colour_images_in_natural_order(tmp_path: Path) -> None:
    for index in (10, 2, 1):
        pixels = np.full((20, 30), index, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"frame{index}.png")
    (tmp_path / ".hidden.png").touch()
    (tmp_path / "notes.txt").touch()
    array, axes = read_stack(tmp_path)
    assert axes == "ZYX"
    assert [int(frame[0, 0]) for frame in np.asarray(array)] == [1, 2, 10]
    tifffile.imwrite(tmp_path / "frame3.tif", np.full((20, 30, 3), 3, np.uint8), photometric="rgb")
    array, axes = read_stack(tmp_path)
    assert axes == "ZYXS"
    assert array.shape == (4, 20, 30, 3)
    assert [int(frame[0, 0, 0]) for frame in np.asarray(array)] == [1, 2, 3, 10]
    (tmp_path / "frame10.png").write_bytes((tmp_path / "frame10.png").read_bytes()[:-30])
    with pytest.raises(InputError, match=r"frame10\.png cannot be read"):
        Frames(array, axes)[3]


def test_alpha_of_a_single_image_is_dropped(tmp_path: Path) -> None:
    rgba = np.random.default_rng(0).integers(0, 255, (20, 30, 4), dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    array, axes = read_stack(tmp_path / "a.png")
    assert axes == "YXS"
    np.testing.assert_array_equal(array, rgba[..., :3])


def test_palette_images_are_colours_and_palette_labels_are_indices(tmp_path: Path) -> None:
    classes = np.zeros((20, 30), np.uint8)
    classes[5:9] = 2
    picture = Image.fromarray(classes).convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        picture.save(tmp_path / folder / "a.png")
    assert read_stack(tmp_path / "one/a.png")[0].shape == (20, 30, 3)
    assert read_stack(tmp_path / "one")[0].shape == (1, 20, 30, 3)
    np.testing.assert_array_equal(read_labels(tmp_path / "one/a.png"), classes)
    np.testing.assert_array_equal(read_labels(tmp_path / "one", tmp_path / "two")[0], classes)
    np.testing.assert_array_equal(read_labels(tmp_path / "one")[0], classes)


def test_labels_are_assigned_to_images_by_name(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for index in range(4):
        Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / f"images/t{index}.jpg")
    Image.fromarray(np.full((20, 30), 300, np.uint16)).save(tmp_path / "labels/t2.png")
    labels = read_labels(tmp_path / "labels", tmp_path / "images")
    assert labels.shape == (4, 20, 30)
    assert [int(frame.max()) for frame in np.asarray(labels)] == [0, 0, 300, 0]
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "labels/u.png")
    with pytest.raises(InputError, match=r"u\.png does not belong to an image"):
        read_labels(tmp_path / "labels", tmp_path / "images")


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no image"):
        read_stack(tmp_path / "missing.tif")
    with pytest.raises(InputError, match="holds no image"):
        read_stack(tmp_path)
    for name in ("a.tif", "a.png", "a.xyz"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(InputError, match="cannot be read as an image"):
            read_stack(tmp_path / name)


def test_images_of_different_sizes_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((20, 31), np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"differ in size.*b\.png is \(20, 31\)"):
        read_stack(tmp_path)


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG"])
def test_jpeg_labels_are_refused(tmp_path: Path, suffix: str) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / folder / f"a{suffix}")
    labels, images = tmp_path / "labels", tmp_path / "images"
    message = rf"a\{suffix} is not a label image, as JPEG changes labels: save them as PNG or TIFF"
    for given in ((labels / f"a{suffix}",), (labels,), (labels, images)):
        with pytest.raises(InputError, match=message):
            read_labels(*given)
    assert read_stack(images)[0].shape == (1, 20, 30)
    with pytest.raises(InputError, match="There is no image"):
        read_labels(tmp_path / f"missing{suffix}")


def test_colour_labels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="has colours or channels"):
        read_labels(tmp_path / "a.png")
