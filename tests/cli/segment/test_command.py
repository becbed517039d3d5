from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.io.images.stacks import read_labels, read_stack

runner = CliRunner()


def run(*arguments: Any) -> Any:
    # Little effort: these tests are about files and messages.
    command = ["segment", "--effort", "0.2", *map(str, arguments), "--device", "cpu"]
    return runner.invoke(app, command)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a > 0) & (b > 0)).sum() / ((a > 0) | (b > 0)).sum())


def test_tiff_with_the_default_model(files: Path) -> None:
    reference = ("--reference", files / "slice.tif", "--reference-frame", 2)
    result = run(files / "stack.tif", *reference, "--effort", 1)
    assert result.exit_code == 0, result.stderr
    assert "5 of 5 frames are in" in result.stderr
    assert "WARNING" not in result.stderr
    assert re.search(r"Class 3: expected IoU 0\.\d\d \(mask decoder \d+%", result.stderr)
    assert re.search(
        r"\nExpected IoU: 0\.\d\d \(class 3\)\. Lowest confidence: frame [0-4] \(0\.", result.stderr
    )
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
    result = run(tmp_path / "large.png", "--reference", tmp_path / "drawn.png", "--tile-size", 256)
    assert result.exit_code == 0, result.stderr
    assert iou(np.asarray(Image.open(tmp_path / "large_labels.png")), truth) > 0.9
    assert f"The labels are in {tmp_path / 'large_labels.png'}." in result.stderr
    assert re.search(r"\nExpected IoU: 0\.\d\d \(class 1\)\.\n", result.stderr)


def test_labels_by_file_name_and_frame_range(files: Path) -> None:
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
    # The labels that were just written are not a frame of the folder.
    result = run(files / "frames", "--reference", files / "drawn", "--frames", "5:6")
    assert "the stack has 5 frames" in result.stderr


@pytest.mark.slow
def test_a_stack_without_contrast_prints_a_warning(files: Path) -> None:
    given = ("--reference", files / "slice.tif", "--reference-frame", 2, "--frames", "2:3")
    tifffile.imwrite(files / "flat.tif", np.full((5, 64, 64), 7, np.uint8))
    result = run(files / "flat.tif", *given)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("WARNING: The stack shows no contrast") == 1


def test_an_annotation_on_missing_pixels_only_is_refused(files: Path) -> None:
    given = ("--reference", files / "slice.tif", "--reference-frame", 2, "--frames", "2:3")
    tifffile.imwrite(files / "empty.tif", np.full((5, 64, 64), np.nan, np.float32))
    result = run(files / "empty.tif", *given)
    assert result.exit_code == 2
    assert "lies on pixels without data only: mark pixels of the image" in result.stderr


def test_results_are_not_overwritten(files: Path) -> None:
    output = files / "out.tif"
    output.write_bytes(b"accepted")
    given = (files / "stack.tif", "--reference", files / "truth.tif", "--frames", "2:3")
    result = run(*given, "--output", output)
    assert result.exit_code == 2
    assert "already exists" in result.stderr
    assert output.read_bytes() == b"accepted"
    assert run(*given, "--output", output, "--overwrite").exit_code == 0
    assert tifffile.imread(output)[2].any()
    result = run(*given, "--output", files / "stack.tif", "--overwrite")
    assert "is an input" in result.stderr


def test_an_interrupt_saves_finished_frames(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Predictor.predict_stream

    def interrupted(*args: Any, **kwargs: Any) -> Iterator[Any]:
        results = whole(*args, **kwargs)
        yield next(results)
        yield next(results)
        raise KeyboardInterrupt

    monkeypatch.setattr(Predictor, "predict_stream", interrupted)
    given = ("--reference", files / "truth.tif", "--probabilities", files / "p.tif")
    result = run(files / "stack.tif", *given, "--no-neighbours")
    assert result.exit_code == 130
    assert "2 of 5 frames are in" in result.stderr
    labels = tifffile.imread(files / "stack_labels.tif")
    assert sum(frame.any() for frame in labels) == 2
    assert sum(frame.any() for frame in tifffile.imread(files / "p.tif")) == 2


def test_an_interrupt_while_writing_reports_where_the_frames_are(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tifffile.imwrite

    def interrupted(path: Path, pages: Iterator[Any], **options: Any) -> None:
        if "stack_labels" not in path.name:
            written(path, pages, **options)
            return
        next(pages)
        raise KeyboardInterrupt

    monkeypatch.setattr(tifffile, "imwrite", interrupted)
    result = run(
        files / "stack.tif", "--reference", files / "truth.tif", "--frames", "1:3",
        "--probabilities", files / "p.tif",
    )  # fmt: skip
    assert result.exit_code == 130
    kept = files / "stack_labels_unfinished.zarr"
    assert f"The finished labels are kept in {kept}, an OME-Zarr.\nInterrupted." in result.stderr
    labels = np.asarray(read_stack(kept)[0])
    assert [bool(frame.any()) for frame in labels] == [False, True, True, False, False]
    monkeypatch.undo()
    assert tifffile.imread(files / "p.tif")[2].any()


def test_probabilities_are_written_even_if_labels_cannot_be(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Predictor.predict_stream

    def blocking(*args: Any, **kwargs: Any) -> Iterator[Any]:
        yield from whole(*args, **kwargs)
        (files / "stack_labels.tif").mkdir()  # a file cannot replace a folder

    monkeypatch.setattr(Predictor, "predict_stream", blocking)
    given = ("--reference", files / "truth.tif", "--probabilities", files / "p.tif")
    result = run(files / "stack.tif", *given, "--no-neighbours")
    assert result.exit_code == 2
    assert "stack_labels.tif cannot be written" in result.stderr
    assert "frames are in" not in result.stderr
    labels = np.asarray(read_stack(files / "stack_labels_unfinished.zarr")[0])
    assert labels.any(axis=(1, 2)).all()
    assert tifffile.imread(files / "p.tif").any(axis=(1, 2)).all()
    assert not [path.name for path in files.iterdir() if path.name.startswith(".")]


def test_a_failure_before_the_first_frame_leaves_no_files(files: Path) -> None:
    before = sorted(files.iterdir())
    result = run(
        files / "stack.tif", "--reference", files / "truth.tif", "--probabilities",
        files / "p.tif", "--model", files / "missing.safetensors",
    )  # fmt: skip
    assert result.exit_code == 2
    assert sorted(files.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.tif", "--reference", "slice.tif"], "There is no image"),
        (
            ["stack.tif", "--reference", "slice.tif"],
            "give the annotated frame",
        ),
        (
            ["stack.tif", "--reference", "slice.tif", "--reference-frame", "9"],
            "no frame 9",
        ),
        (["stack.tif", "--reference", "slice.tif", "--reference-frame", "x"], "is not a frame"),
        (["stack.tif", "--reference", "truth.tif", "--frames", "3-4"], "is not a range"),
        (["stack.tif", "--reference", "truth.tif", "--frames", "4:9"], "4:9 is not valid"),
        (["stack.tif", "--reference", "truth.tif", "--axes", "YX"], "names 2 axes"),
        (["stack.tif", "--reference", "truth.tif", "--channel", "1"], "no channel 1"),
        (
            ["stack.tif", "--reference", "truth.tif", "--tile-size", "64"],
            "Tiles of 64 pixels",
        ),
        (["stack.tif", "--reference", "truth.tif", "--output", "a.jpg"], "cannot be written"),
        (["frames/f0.png", "--reference", "empty.png"], "no annotation"),
    ],
)
def test_errors_are_one_sentence(
    files: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(files / "empty.png")
    monkeypatch.chdir(files)
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_arguments_of_python_are_named_as_options(files: Path) -> None:
    result = run(files / "stack.tif", "--reference", files / "slice.tif")
    assert result.exit_code == 2
    assert "(--reference-frame) or, if these are channels, --axes CYX." in result.stderr


def test_a_comparison_refuses_an_unknown_model_before_it_runs_others(files: Path) -> None:
    given = (files / "stack.tif", "--reference", files / "slice.tif", "--reference-frame", "2")
    command = ["compare", *map(str, given), "--models", "lite,lightt"]
    result = runner.invoke(app, command)
    assert result.exit_code == 2
    assert "There is no model 'lightt'" in result.stderr
    assert not (files / "stack_comparison").exists()


def test_paths_are_printed_verbatim(files: Path) -> None:
    output = files / "ex[red]x [/b] :red_heart:" / "o.tif"
    given = (files / "stack.tif", "--reference")
    result = run(*given, files / "truth.tif", "--frames", "2:3", "--output", output)
    assert result.exit_code == 0, result.stderr
    assert f"are in {output}." in result.stderr
    result = run(*given, output.with_name("missing.tif"))
    missing = output.with_name("missing.tif")
    assert f"Error: There is no annotation file at {missing}: check" in result.stderr
