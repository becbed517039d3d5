"""Output folders with the files of an earlier run."""

from __future__ import annotations

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
from napari_vrp_sam.io.labels.journal import journal_path

runner = CliRunner()


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Labels of twelve frames, 00.png to 11.png, of which one was edited, and another file."""
    stack = np.random.default_rng(0).integers(0, 40, (12, 48, 64), np.uint8)
    stack[:, 10:30, 12:40] += 160
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "short.tif", stack[:3], imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "drawn.tif", (stack[1] > 100).astype(np.uint8))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "labels"
    assert run("stack.tif").exit_code == 0
    assert names(folder) == [f"{index:02}.png" for index in range(12)]
    Image.fromarray(stack[0]).save(folder / "mine.png")
    Image.fromarray(stack[0]).save(folder / "05.png")  # edited by the user
    return folder


def run(image: str, *more: str) -> Any:
    given = ["segment", image, "--reference", "drawn.tif", "--reference-frame", "1"]
    return runner.invoke(
        app, [*given, "--output", "labels", "--device", "cpu", "--effort", "0.2", *more]
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_unchanged_files_of_the_earlier_run_are_replaced(output: Path) -> None:
    result = run("short.tif", "--overwrite", "--frames", "0:1")
    assert result.exit_code == 0, result.stderr
    assert names(output) == ["0.png", "05.png", "mine.png"]


def test_no_file_is_removed_before_the_first_frame(output: Path) -> None:
    before = names(output)
    assert run("stack.tif", "--overwrite", "--model", "missing.safetensors").exit_code == 2
    assert names(output) == before
    assert journal_path(output).exists()


@pytest.mark.slow
def test_an_interrupted_run_keeps_no_files_of_the_earlier_one(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Predictor.predict_stream

    def interrupted(*args: Any, **kwargs: Any) -> Iterator[Any]:
        yield next(whole(*args, **kwargs))
        raise KeyboardInterrupt

    monkeypatch.setattr(Predictor, "predict_stream", interrupted)
    assert run("stack.tif", "--overwrite", "--no-neighbours").exit_code == 130
    assert names(output) == ["01.png", "05.png", "mine.png"]
    monkeypatch.undo()
    monkeypatch.chdir(output.parent)
    assert run("stack.tif", "--resume", "--no-neighbours").exit_code == 0
    assert names(output) == [*(f"{index:02}.png" for index in range(12)), "mine.png"]


def test_without_a_journal_no_file_is_removed(output: Path) -> None:
    journal_path(output).unlink()
    assert run("stack.tif", "--overwrite", "--frames", "0:1").exit_code == 0
    assert names(output) == [*(f"{index:02}.png" for index in range(12)), "mine.png"]


def test_an_earlier_result_used_as_reference_is_not_removed(output: Path) -> None:
    before = names(output)
    result = run("stack.tif", "--overwrite", "--frames", "0:1", "--reference", "labels/07.png")
    assert result.exit_code == 2
    assert "07.png is an input" in result.stderr
    assert names(output) == before
