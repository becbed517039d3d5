from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from scipy import ndimage
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.objects.find import objects_from_labels
from napari_vrp_sam.io.images.stacks import read_stack

runner = CliRunner()


def objects(*arguments: Any) -> Any:
    return runner.invoke(app, ["objects", *map(str, arguments)])


def read(path: Path) -> np.ndarray:
    return np.asarray(read_stack(path)[0])


@pytest.fixture
def touching(files: Path) -> Path:
    """Two discs that touch, on each of two frames."""
    rows, columns = np.indices((64, 64))
    discs = [np.hypot(rows - 32, columns - x) < 12 for x in (20, 42)]
    labels = np.stack([discs[0] | discs[1]] * 2).astype(np.uint8)
    tifffile.imwrite(files / "touching.tif", labels, photometric="minisblack")
    return files / "touching.tif"


def test_ids_and_table_equal_those_of_python(files: Path) -> None:
    result = objects(
        files / "truth.tif", "--image", files / "stack.tif", "--link", "--min-size", 50,
        "--table", files / "out/objects.csv",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    expected = objects_from_labels(
        tifffile.imread(files / "truth.tif"), tifffile.imread(files / "stack.tif"), axes="ZYX",
        linked=True, min_size=50,
    )  # fmt: skip
    ids, axes = read_stack(files / "truth_objects.tif")
    assert axes == "ZYX"
    np.testing.assert_array_equal(np.asarray(ids), expected.labels)
    table = pd.read_csv(files / "out/objects.csv")
    pd.testing.assert_frame_equal(table, expected.table, check_dtype=False)
    assert table["frames"].tolist() == [5]
    assert table["mean_intensity"][0] > 150


def test_without_an_image_nothing_is_measured_on_it(files: Path) -> None:
    table = files / "objects.csv"
    result = objects(files / "truth.tif", "--table", table)
    assert result.exit_code == 0, result.stderr
    assert pd.read_csv(table)["frames"].tolist() == [1] * 5  # not linked
    assert "mean_intensity" not in pd.read_csv(table)
    assert len(np.unique(read(files / "truth_objects.tif"))) == 6


def test_axes_of_the_labels_come_from_the_file_or_the_option(files: Path) -> None:
    truth = tifffile.imread(files / "truth.tif")
    tifffile.imwrite(files / "time.tif", truth, imagej=True, metadata={"axes": "TYX"})
    table = files / "objects.csv"
    given = (files / "time.tif", "--link", "--table", table, "--overwrite")
    assert objects(*given, "--divisions").exit_code == 0
    assert {"first_t", "last_t"} <= set(pd.read_csv(table).columns)
    assert read_stack(files / "time_objects.tif")[1] == "TYX"
    assert objects(*given, "--axes", "ZYX").exit_code == 0
    assert {"first_z", "last_z"} <= set(pd.read_csv(table).columns)


def test_touching_objects_are_split_by_default(touching: Path) -> None:
    output = touching.with_name("ids.tif")
    given = (touching, "--link", "--output", output)
    assert objects(*given).exit_code == 0
    assert set(np.unique(read(output))) == {0, 1, 2}
    assert objects(*given, "--split-strength", 0, "--overwrite").exit_code == 0
    assert set(np.unique(read(output))) == {0, 1}


def test_no_split_is_deprecated(touching: Path) -> None:
    output = touching.with_name("ids.tif")
    result = objects(touching, "--no-split", "--output", output)
    assert result.exit_code == 0
    assert "--no-split is deprecated" in result.stderr
    assert "use --split-strength 0" in result.stderr
    assert len(np.unique(read(output))) == 3  # one object on each of two frames


def test_options_equal_those_of_python(files: Path) -> None:
    rng = np.random.default_rng(0)
    labels = (ndimage.gaussian_filter(rng.standard_normal((2, 90, 90)), (0, 4, 4)) > 0).astype("u1")
    tifffile.imwrite(files / "labels.tif", labels, photometric="minisblack")
    for options, settings in (
        ((), {}),
        (
            ("--split-strength", 0.8, "--min-size", 40, "--no-fill-holes", "--smoothing", 1.5),
            {"split_strength": 0.8, "min_size": 40, "fill_holes": False, "smoothing": 1.5},
        ),
    ):
        result = objects(files / "labels.tif", "--axes", "ZYX", "--overwrite", *options)
        assert result.exit_code == 0, result.stderr
        expected = objects_from_labels(labels, axes="ZYX", **settings)
        np.testing.assert_array_equal(read(files / "labels_objects.tif"), expected.labels)


@pytest.mark.parametrize("name", ["ids.tif", "ids.zarr", "ids"])
def test_the_output_path_selects_the_format(files: Path, name: str) -> None:
    """Read labels from a folder, and use its file names for an output folder."""
    (files / "labels").mkdir()
    for index, frame in enumerate(tifffile.imread(files / "truth.tif")):
        Image.fromarray(frame).save(files / f"labels/f{index}.png")
    result = objects(files / "labels", "--link", "--output", files / name)
    assert result.exit_code == 0, result.stderr
    expected = tifffile.imread(files / "truth.tif") > 0
    np.testing.assert_array_equal(read(files / name), expected)
    if name == "ids":
        written = sorted(path.name for path in (files / name).iterdir())
        assert written == [f"f{index}.png" for index in range(5)]


def test_labels_of_a_folder_are_matched_to_images_by_name(files: Path) -> None:
    result = objects(
        files / "drawn", "--image", files / "frames", "--table", files / "t.csv",
        "--output", files / "ids.tif",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    ids = read(files / "ids.tif")
    assert [bool(frame.any()) for frame in ids] == [False, False, True, False, False]
    assert pd.read_csv(files / "t.csv")["mean_intensity"][0] > 150


def test_existing_results_are_replaced_only_with_overwrite(files: Path) -> None:
    assert objects(files / "truth.tif").exit_code == 0
    again = objects(files / "truth.tif")
    assert again.exit_code == 2
    assert "already exists" in again.stderr
    assert objects(files / "truth.tif", "--overwrite").exit_code == 0


def test_paths_are_printed_verbatim(files: Path) -> None:
    folder = files / "ex[red]x [/b] :red_heart:"
    result = objects(files / "truth.tif", "--output", folder / "o.tif", "--table", folder / "o.csv")
    assert result.exit_code == 0, result.stderr
    assert f"Found 5 objects, with ids in {folder / 'o.tif'}." in result.stderr
    assert f"Their table is in {folder / 'o.csv'}." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("truth.tif", "--divisions"), "--divisions needs --link"),
        (("truth.tif", "--link", "--divisions", "--axes", "ZYX"), "axis T"),
        (("truth.tif", "--table", "objects.xlsx"), r"use \.csv"),
        (("truth.tif", "--min-size", -2), "-2 pixels"),
        (("truth.tif", "--min-size", "small"), 'must be a number of pixels or "auto"'),
        (("truth.tif", "--split-strength", 2), "from 0 .never split. to 1"),
        (("truth.tif", "--smoothing", -1), "from 0 .none. to 100"),
        (("truth.tif", "--channel", 0), "--channel needs --image"),
        (("truth.tif", "--image", "truth.tif"), "is the label image itself"),
        (("truth.tif", "--image", "frames/f0.png"), r"\(64, 64\)"),
        (("truth.tif", "--image", "stack.tif", "--output", "stack.tif"), "is an input"),
        (("drawn/f2.png", "--output", "drawn"), "already exists"),
        (("truth.tif", "--table", "truth_objects.tif/t.csv"), "would be overwritten"),
        (("missing.tif",), "There is no image"),
    ],
)
def test_errors_are_one_sentence(
    files: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[Any, ...], message: str
) -> None:
    monkeypatch.chdir(files)
    before = sorted(files.rglob("*"))
    result = objects(*arguments)
    assert result.exit_code == 2
    assert re.search(message, result.stderr)
    assert result.stderr.strip().startswith("Error: ")
    assert result.stderr.strip().count("\n") == 0
    assert sorted(files.rglob("*")) == before


def test_image_of_a_file_and_names_of_classes(files: Path) -> None:
    truth = tifffile.imread(files / "truth.tif")
    with tifffile.TiffWriter(files / "two.ome.tif") as file:
        for value in (10, 200):
            file.write(np.full(truth.shape, value, np.uint8), metadata={"axes": "ZYX"})
    for number, value in ((0, 10), (1, 200)):
        result = objects(
            files / "truth.tif", "--image", files / "two.ome.tif", "--image-number", number,
            "--class-name", "3=nucleus", "--table", files / "objects.csv", "--overwrite",
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        table = pd.read_csv(files / "objects.csv")
        assert set(table["mean_intensity"]) == {value}
        assert set(table["class_name"]) == {"nucleus"}
    result = objects(files / "truth.tif", "--image-number", 1)
    assert "--image-number needs --image" in result.stderr
