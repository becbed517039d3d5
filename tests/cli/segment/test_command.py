from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.io.images.stacks import read_labels, read_stack

runner = CliRunner()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A stack in which a bright square moves, as TIFF and as a folder; and its middle annotated."""
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 40, (5, 64, 64), dtype=np.uint8)
    truth = np.zeros((5, 64, 64), np.uint8)
    for index in range(5):
        truth[index, 10 + 6 * index : 30 + 6 * index, 12:40] = 3
    stack[truth > 0] += 160
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "truth.tif", truth)
    tifffile.imwrite(tmp_path / "slice.tif", truth[2])
    (tmp_path / "frames").mkdir()
    (tmp_path / "drawn").mkdir()
    for index, frame in enumerate(stack):
        Image.fromarray(frame).save(tmp_path / f"frames/f{index}.png")
    Image.fromarray(truth[2]).save(tmp_path / "drawn/f2.png")
    return tmp_path


def run(*arguments: Any) -> Any:
    return runner.invoke(app, ["segment", *map(str, arguments), "--device", "cpu"])


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a > 0) & (b > 0)).sum() / ((a > 0) | (b > 0)).sum())


def test_tiff_with_the_shipped_model(files: Path) -> None:
    result = run(files / "stack.tif", "--reference", files / "slice.tif", "--frame", 2)
    assert result.exit_code == 0, result.stderr
    assert "5 of 5 frames are in" in result.stderr
    assert re.search(r"Class 3: expected IoU 0\.\d\d \(mask decoder \d+%", result.stderr)
    assert re.search(r"Confidence .* 0\.\d\d on average, lowest on frame [0-4] ", result.stderr)
    lazy, axes = read_stack(files / "stack_labels.tif")
    labels = np.asarray(lazy)
    assert (axes, labels.dtype) == ("ZYX", np.uint8)
    assert set(np.unique(labels)) == {0, 3}
    truth = tifffile.imread(files / "truth.tif")
    assert min(iou(a, b) for a, b in zip(labels, truth, strict=True)) > 0.7


def test_a_large_frame_in_tiles(tmp_path: Path) -> None:
    rows, columns = np.indices((300, 420))
    truth = (((rows % 100 - 50) ** 2 + (columns % 140 - 70) ** 2) < 900).astype(np.uint8)
    picture = np.random.default_rng(0).integers(0, 40, truth.shape, dtype=np.uint8) + 150 * truth
    Image.fromarray(picture).save(tmp_path / "large.png")
    Image.fromarray(truth).save(tmp_path / "drawn.png")
    result = run(tmp_path / "large.png", "--reference", tmp_path / "drawn.png", "--tile", 256)
    assert result.exit_code == 0, result.stderr
    assert iou(np.asarray(Image.open(tmp_path / "large_labels.png")), truth) > 0.9


def test_folder_labels_by_name_and_frame_range(files: Path) -> None:
    result = run(
        files / "frames", "--reference", files / "drawn", "--frames", "1:3",
        "--probabilities", files / "p.tif",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    written = sorted(path.name for path in (files / "frames_labels").iterdir())
    assert written == ["f1.png", "f2.png"]
    probabilities, axes = read_stack(files / "p.tif")
    assert (axes, probabilities.shape) == ("ZYX", (5, 64, 64))
    assert np.asarray(probabilities[2]).max() > 0.5
    assert not np.asarray(probabilities[0]).any()


def test_a_folder_with_dots_in_its_name(files: Path) -> None:
    dotted = files / "2024.05.01_cells"
    (files / "frames").rename(dotted)
    result = run(dotted, "--reference", files / "drawn", "--frames", "1:3", "--instances")
    assert result.exit_code == 0, result.stderr
    written = sorted(path.name for path in (files / "2024.05.01_cells_labels").iterdir())
    assert written == ["f1.png", "f2.png"]
    assert (files / "2024.05.01_cells_objects.tif").is_file()


def test_single_picture(files: Path) -> None:
    picture = files / "frames/f2.png"
    result = run(picture, "--reference", files / "drawn/f2.png")
    assert result.exit_code == 0, result.stderr
    assert read_labels(files / "frames/f2_labels.png").shape == (64, 64)
    # What was just written is no frame of the folder.
    result = run(files / "frames", "--reference", files / "drawn", "--frames", "5:6")
    assert "the stack has 5 frames" in result.stderr


@pytest.mark.parametrize("value", [7, np.nan])
def test_a_stack_without_contrast_is_told_of(files: Path, value: float) -> None:
    given = ("--reference", files / "slice.tif", "--frame", 2, "--frames", "2:3")
    kind = np.uint8 if value == 7 else np.float32
    tifffile.imwrite(files / "flat.tif", np.full((5, 64, 64), value, kind))
    result = run(files / "flat.tif", *given)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("Warning: the stack shows no contrast") == 1
    result = run(files / "stack.tif", *given)
    assert "no contrast" not in result.stderr


def test_results_are_not_overwritten(files: Path) -> None:
    output = files / "out.tif"
    output.write_bytes(b"accepted")
    given = (files / "stack.tif", "--reference", files / "truth.tif", "--frames", "2:3")
    result = run(*given, "--output", output)
    assert result.exit_code == 2
    assert "is there already" in result.stderr
    assert output.read_bytes() == b"accepted"
    assert run(*given, "--output", output, "--overwrite").exit_code == 0
    assert tifffile.imread(output)[2].any()
    result = run(*given, "--output", files / "stack.tif", "--overwrite")
    assert "is an input" in result.stderr


def test_an_interrupt_keeps_what_is_done(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Predictor.predict_stream

    def interrupted(*args: Any, **kwargs: Any) -> Iterator[Any]:
        results = whole(*args, **kwargs)
        yield next(results)
        yield next(results)
        raise KeyboardInterrupt

    monkeypatch.setattr(Predictor, "predict_stream", interrupted)
    result = run(
        files / "stack.tif", "--reference", files / "truth.tif", "--probabilities", files / "p.tif"
    )
    assert result.exit_code == 130
    assert "2 of 5 frames are in" in result.stderr
    labels = tifffile.imread(files / "stack_labels.tif")
    assert sum(frame.any() for frame in labels) == 2
    assert sum(frame.any() for frame in tifffile.imread(files / "p.tif")) == 2


def test_an_interrupt_of_the_final_write_tells_where_the_frames_are(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_path: Path, pages: Iterator[Any], **_options: Any) -> None:
        next(pages)
        raise KeyboardInterrupt

    monkeypatch.setattr(tifffile, "imwrite", interrupted)
    result = run(
        files / "stack.tif", "--reference", files / "truth.tif", "--frames", "1:3",
        "--probabilities", files / "p.tif",
    )  # fmt: skip
    assert result.exit_code == 130
    kept = files / "stack_labels_unfinished.zarr"
    assert f"What is finished is kept in {kept}, an OME-Zarr.\nInterrupted." in result.stderr
    labels = np.asarray(read_stack(kept)[0])
    assert [bool(frame.any()) for frame in labels] == [False, True, True, False, False]
    monkeypatch.undo()
    assert tifffile.imread(files / "p.tif")[2].any()


def test_labels_that_cannot_be_written_stop_nothing_else(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Predictor.predict_stream

    def blocking(*args: Any, **kwargs: Any) -> Iterator[Any]:
        yield from whole(*args, **kwargs)
        (files / "stack_labels.tif").mkdir()  # no file takes the place of a folder

    monkeypatch.setattr(Predictor, "predict_stream", blocking)
    result = run(
        files / "stack.tif", "--reference", files / "truth.tif", "--probabilities", files / "p.tif"
    )
    assert result.exit_code == 2
    assert "stack_labels.tif cannot be written" in result.stderr
    assert "frames are in" not in result.stderr
    labels = np.asarray(read_stack(files / "stack_labels_unfinished.zarr")[0])
    assert labels.any(axis=(1, 2)).all()
    assert tifffile.imread(files / "p.tif").any(axis=(1, 2)).all()
    assert not [path.name for path in files.iterdir() if path.name.startswith(".")]


def test_a_failure_before_the_first_frame_leaves_nothing(files: Path) -> None:
    before = sorted(files.iterdir())
    result = run(
        files / "stack.tif", "--reference", files / "truth.tif", "--probabilities",
        files / "p.tif", "--model", files / "missing.safetensors",
    )  # fmt: skip
    assert result.exit_code == 2
    assert sorted(files.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.tif", "--reference", "slice.tif"], "There is no image"),
        (
            ["stack.tif", "--reference", "slice.tif"],
            "annotated (`frame`, on the command line --frame)",
        ),
        (["stack.tif", "--reference", "slice.tif", "--frame", "9"], "There is no frame 9"),
        (["stack.tif", "--reference", "slice.tif", "--frame", "x"], "is no frame"),
        (["stack.tif", "--reference", "truth.tif", "--frames", "3-4"], "is no range"),
        (["stack.tif", "--reference", "truth.tif", "--frames", "4:9"], "does not fit"),
        (["stack.tif", "--reference", "truth.tif", "--axes", "YX"], "name 2 axes"),
        (["stack.tif", "--reference", "truth.tif", "--channel", "1"], "no channel 1"),
        (["stack.tif", "--reference", "truth.tif", "--tile", "64"], "Tiles of 64 pixels are too"),
        (["stack.tif", "--reference", "truth.tif", "--output", "a.jpg"], "cannot be written"),
        (["frames/f0.png", "--reference", "empty.png"], "no annotation"),
    ],
)
def test_bad_input_is_one_sentence(
    files: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(files / "empty.png")
    monkeypatch.chdir(files)
    result = run(*arguments)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_objects_are_linked_and_listed(files: Path) -> None:
    result = run(
        files / "stack.tif", "--reference", files / "slice.tif", "--frame", 2,
        "--link", "--table", files / "out/objects.csv", "--min-size", 50,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    labels, axes = read_stack(files / "stack_objects.tif")
    classes, _ = read_stack(files / "stack_labels.tif")
    assert axes == "ZYX"
    table = pd.read_csv(files / "out/objects.csv")
    assert table["frames"].max() == 5  # the square, through the stack
    square = table.loc[table["frames"].idxmax()]
    assert square["class"] == 3
    assert square["volume"] == (np.asarray(labels) == square["index"]).sum()
    assert square["mean_intensity"] > 150
    assert 0 < square["confidence"] < 1
    assert not np.asarray(labels)[np.asarray(classes) == 0].any()


def test_objects_on_each_frame_have_ids_of_their_own(files: Path) -> None:
    result = run(
        files / "stack.tif", "--reference", files / "slice.tif", "--frame", 2,
        "--instances", "--min-size", 50, "--frames", "1:3", "--output", files / "result.tif",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    labels = tifffile.imread(files / "result_objects.tif")
    first, second = (set(np.unique(labels[frame])) - {0} for frame in (1, 2))
    assert first
    assert second
    assert first.isdisjoint(second)


def test_paths_are_told_as_they_are(files: Path) -> None:
    folder = files / "ex[red]x [/b] :red_heart:"
    result = run(
        files / "stack.tif", "--reference", files / "truth.tif", "--frames", "2:3", "--instances",
        "--output", folder / "o.tif", "--table", folder / "o.csv",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert f"frames are in {folder / 'o.tif'}." in result.stderr
    assert f"are in {folder / 'o_objects.tif'}." in result.stderr
    assert f"Their table is {folder / 'o.csv'}." in result.stderr
    result = run(files / "stack.tif", "--reference", folder / "missing.tif")
    assert f"Error: There is no image {folder / 'missing.tif'}: check" in result.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--divisions",), "--divisions needs --link"),
        (("--min-size", "30"), "--min-size needs --instances, --link or --table"),
        (("--link", "--divisions"), "axis T"),
        (("--table", "objects.xlsx"), r"use \.csv"),
        (("--instances", "--min-size", "-2"), "-2 pixels"),
    ],
)
def test_wishes_for_objects_are_checked_before_the_work(
    files: Path, options: tuple[str, ...], sentence: str
) -> None:
    result = run(files / "stack.tif", "--reference", files / "slice.tif", "--frame", 2, *options)
    assert result.exit_code == 2
    assert re.search(sentence, result.stderr)
    assert not (files / "stack_labels.tif").exists()
