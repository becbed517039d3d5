"""Folders and patterns: axes in names, bands, volumes, and files of other tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.frame_names import axes_in_names
from napari_vrp_sam.io.images.opening import open_image
from napari_vrp_sam.io.images.stacks import read_labels

FRAMES = np.random.default_rng(0).integers(0, 250, (2, 3, 20, 30), dtype=np.uint8)


def write(folder: Path, names: list[str], frames: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    for name, frame in zip(names, frames, strict=True):
        tifffile.imwrite(folder / f"{name}.tif", frame, photometric="minisblack", metadata=None)


@pytest.mark.parametrize(
    ("names", "axes"),
    [
        (["plate--W2--P001--T00000--Z000--C", "plate--W2--P001--T00001--Z000--C"], "T"),
        (["cell_t1", "cell_t2", "cell_t10"], "T"),
        (["time3", "time4"], "T"),
        (["a_z00", "a_z01", "a_z02"], "Z"),
        (["a_slice-1", "a_slice-2"], "Z"),
        (["x_T0_Z0", "x_T0_Z1", "x_T1_Z0", "x_T1_Z1"], "TZ"),
        (["x_z1_ch1", "x_z1_ch2", "x_z2_ch1", "x_z2_ch2"], "ZC"),
        (["a1", "a2"], None),
        (["cat1", "cat2"], None),
        (["mozart3", "mozart4"], None),
        (["a_t1", "b_t2"], None),
        (["P1_t1", "P2_t1"], None),
        ([f"img_c{n:03}" for n in range(50)], None),
    ],
)
def test_axes_in_names(names: list[str], axes: str | None) -> None:
    found = axes_in_names(names)
    assert (found and found.axes) == axes


def test_times_and_slices_in_names(tmp_path: Path) -> None:
    names = [f"a_Z{z}_T{t}" for z in range(3) for t in range(2)]
    write(tmp_path / "a", names, FRAMES.transpose(1, 0, 2, 3).reshape(6, 20, 30))
    stored = open_image(tmp_path / "a")
    assert stored.axes == "TZYX"
    np.testing.assert_array_equal(np.asarray(stored.data), FRAMES)


def test_a_missing_file_is_masked_and_not_shifted(tmp_path: Path) -> None:
    names = [f"a_T{t}_Z{z}" for t in range(2) for z in range(3)]
    write(tmp_path / "a", names, FRAMES.reshape(6, 20, 30))
    (tmp_path / "a/a_T1_Z0.tif").unlink()
    with pytest.warns(UserWarning, match="lacks 1 of 6 files, the first at T 1, Z 0"):
        data = open_image(tmp_path / "a").data
    np.testing.assert_array_equal(data[1, 1], FRAMES[1, 1])
    assert np.ma.getmaskarray(data[1, 0]).all()


def test_labels_have_the_names_of_their_frames(tmp_path: Path) -> None:
    names = [f"a_T{t}_Z{z}" for t in range(2) for z in range(3)]
    write(tmp_path / "images", names, FRAMES.reshape(6, 20, 30))
    write(tmp_path / "labels", [names[4]], FRAMES[1, 1:2] // 125)
    labels = np.asarray(read_labels(tmp_path / "labels", tmp_path / "images"))
    assert labels.shape == FRAMES.shape
    np.testing.assert_array_equal(labels[1, 1], FRAMES[1, 1] // 125)
    labels[1, 1] = 0
    assert not labels.any()


@pytest.mark.parametrize("bands", [2, 4, 10])
def test_tiles_of_any_number_of_bands(tmp_path: Path, bands: int) -> None:
    tiles = np.random.default_rng(0).integers(0, 9000, (3, 20, 30, bands), dtype=np.uint16)
    (tmp_path / "a").mkdir()
    for number, tile in enumerate(tiles):
        tifffile.imwrite(
            tmp_path / f"a/tile_{number}.tif", tile, photometric="minisblack",
            planarconfig="contig", metadata=None,
        )  # fmt: skip
    stored = open_image(tmp_path / "a")
    assert stored.axes == "ZYXC"
    np.testing.assert_array_equal(np.asarray(stored.data), tiles)


def test_a_folder_of_volumes_is_a_time_series(tmp_path: Path) -> None:
    write(tmp_path / "a", ["v1", "v2"], FRAMES)
    stored = open_image(tmp_path / "a")
    assert stored.axes == "TZYX"
    np.testing.assert_array_equal(np.asarray(stored.data), FRAMES)


def test_a_pattern_chooses_files(tmp_path: Path) -> None:
    write(tmp_path / "a", ["x1_red", "x2_red"], FRAMES[0, :2])
    write(tmp_path / "a", ["x1_blue", "x2_blue"], FRAMES[1, :2])
    stored = open_image(tmp_path / "a" / "*_red.tif")
    np.testing.assert_array_equal(np.asarray(stored.data), FRAMES[0, :2])
    with pytest.raises(InputError, match="There is no image"):
        open_image(tmp_path / "a" / "*_green.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_masks_of_other_tools_are_left_out(tmp_path: Path, dtype: type) -> None:
    folder = tmp_path / "a"
    write(folder, ["img_0", "img_1", "img_2"], FRAMES[0].astype(dtype))
    for number in range(3):
        Image.fromarray(FRAMES[1, number] // 200).save(folder / f"img_{number}_cp_masks.png")
        tifffile.imwrite(folder / f"img_{number}_flows.tif", np.zeros((20, 30, 3), np.uint8))
        np.save(folder / f"img_{number}_seg.npy", np.zeros(1))
    with pytest.warns(UserWarning, match=r"9 files of .* such as img_0_cp_masks\.png.*not used"):
        stored = open_image(folder)
    np.testing.assert_array_equal(np.asarray(stored.data), FRAMES[0])
    write(tmp_path / "b", ["x_masks", "y_masks"], FRAMES[0, :2])  # without their images
    assert len(open_image(tmp_path / "b").data) == 2


def test_transparent_frames_are_masked(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 20, 30, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[1, :4, :, 3] = 0
    for number, frame in enumerate(pixels):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    data = open_image(tmp_path).data
    assert not np.ma.getmaskarray(data[0]).any()
    np.testing.assert_array_equal(np.ma.getmaskarray(data[1])[..., 2], pixels[1, ..., 3] == 0)
    assert np.ma.getmaskarray(data[:]).sum() == 3 * 4 * 30
