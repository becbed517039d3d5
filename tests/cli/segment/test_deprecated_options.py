"""Options that were renamed, or moved to `vrp-sam objects`, still work and print a warning."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.io.images.stacks import read_stack

runner = CliRunner()


def run(files: Path, *arguments: Any) -> Any:
    given = ("segment", files / "stack.tif", "--reference", files / "slice.tif", "--device", "cpu")
    given = (*given, "--effort", "0.2")
    return runner.invoke(app, [*map(str, (*given, *arguments))])


def warning(option: str, replacement: str) -> str:
    return (
        f"WARNING: {option} is deprecated and will be removed in the next release; use "
        f"{replacement}."
    )


def test_deprecated_options_are_hidden() -> None:
    shown = runner.invoke(app, ["segment", "--help"], env={"COLUMNS": "200"}).stdout
    options = set(re.findall(r"--[a-z-]+", shown))
    assert {"--reference-frame", "--annotation-kind", "--contrast-limits", "--tile-size"} <= options
    old = {"--frame", "--kind", "--limits", "--tile"}
    moved = {"--instances", "--link", "--divisions", "--min-size", "--table"}
    assert options.isdisjoint(old | moved)


@pytest.mark.parametrize(
    ("arguments", "replacement", "message"),
    [
        (("--frame", "x"), "--reference-frame", "--reference-frame x is not a frame"),
        (("--frame=9",), "--reference-frame", "There is no frame 9"),
        (("--kind", "circle"), "--annotation-kind", "annotation-kind"),
        (("--limits", "9", "1"), "--contrast-limits", "9"),
        (("--tile", "64"), "--tile-size", "Tiles of 64 pixels"),
    ],
)
def test_renamed_options(
    files: Path, arguments: tuple[str, ...], replacement: str, message: str
) -> None:
    frame = () if replacement == "--reference-frame" else ("--reference-frame", 2)
    result = run(files, *frame, *arguments)
    assert result.exit_code == 2
    assert warning(arguments[0].partition("=")[0], replacement) in result.stderr
    assert message in result.stderr


@pytest.mark.slow
def test_link_table_and_min_size_equal_the_objects_command(files: Path) -> None:
    options = ("--link", "--min-size", "50", "--table", str(files / "old.csv"))
    result = run(files, "--reference-frame", 2, "--output", files / "labels.zarr", *options)
    assert result.exit_code == 0, result.stderr
    for option in ("--link", "--min-size", "--table"):
        assert warning(option, f"vrp-sam objects {option}") in result.stderr
    new = runner.invoke(
        app,
        ["objects", str(files / "labels.zarr"), "--image", str(files / "stack.tif"), "--link",
         "--min-size", "50", "--table", str(files / "new.csv"), "--output", str(files / "new.tif")],
    )  # fmt: skip
    assert new.exit_code == 0, new.stderr
    ids = tifffile.imread(files / "labels_objects.tif")
    np.testing.assert_array_equal(ids, tifffile.imread(files / "new.tif"))
    table = pd.read_csv(files / "old.csv")
    pd.testing.assert_frame_equal(table, pd.read_csv(files / "new.csv"))
    square = table.loc[table["frames"].idxmax()]
    assert square["frames"] == 5
    assert square["volume"] == (ids == square["index"]).sum()
    assert square["mean_intensity"] > 150
    assert 0 < square["confidence"] < 1
    assert not ids[np.asarray(read_stack(files / "labels.zarr")[0]) == 0].any()


def test_instances_have_one_id_per_frame(files: Path) -> None:
    result = run(
        files, "--reference-frame", 2, "--instances", "--min-size", 50, "--frames", "1:3",
        "--output", files / "result.tif",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert warning("--instances", "vrp-sam objects") in result.stderr
    ids = tifffile.imread(files / "result_objects.tif")
    first, second = (set(np.unique(ids[frame])) - {0} for frame in (1, 2))
    assert first
    assert second
    assert first.isdisjoint(second)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--divisions",), "--divisions needs --link"),
        (("--min-size", "30"), "--min-size needs --instances, --link or --table"),
        (("--link", "--divisions"), "axis T"),
        (("--table", "objects.xlsx"), r"use \.csv"),
        (("--instances", "--min-size", "-2"), "-2 pixels"),
    ],
)
def test_object_options_are_checked_before_the_run(
    files: Path, options: tuple[str, ...], message: str
) -> None:
    result = run(files, "--reference-frame", 2, *options)
    assert result.exit_code == 2
    assert re.search(message, result.stderr)
    assert warning(options[0], "vrp-sam objects")[:-1] in result.stderr
    assert not (files / "stack_labels.tif").exists()
