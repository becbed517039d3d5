from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.relabelling.levels import quantise
from napari_vrp_sam.inference.segmentation import Segmentation
from napari_vrp_sam.io.images.stacks import read_stack
from napari_vrp_sam.io.labels.probabilities import ProbabilityWriter, read_probabilities

runner = CliRunner()


def relabel(*arguments: Any) -> Any:
    return runner.invoke(app, ["relabel", *map(str, arguments)])


def read(path: Path) -> np.ndarray:
    return np.asarray(read_stack(path)[0])


def write(path: Path, values: np.ndarray, axes: str, class_ids: tuple[int, ...]) -> None:
    writer = ProbabilityWriter(path, values.shape, axes, class_ids)
    for index, frame in enumerate(values.reshape(-1, *values.shape[-3:])):
        writer.write(index, quantise(frame))
    writer.close()


@pytest.fixture
def found() -> np.ndarray:
    return np.random.default_rng(0).random((3, 2, 20, 30), dtype=np.float32)


@pytest.mark.parametrize("axes", ["ZCYX", "TCYX"])
def test_labels_equal_those_of_python(tmp_path: Path, found: np.ndarray, axes: str) -> None:
    write(tmp_path / "p.tif", found, axes, (3, 8))
    result = relabel(
        tmp_path / "p.tif", "--threshold", 0.6, "--threshold", "8=0.4", "--min-size", 9,
        "--fill-holes", "--smoothing", 0.8,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    segmentation = Segmentation(
        None,
        class_ids=(3, 8),
        confidence=np.zeros((3, 2), np.float32),
        expected_iou={},
        probabilities=found,
    )
    expected = segmentation.relabel({3: 0.6, 8: 0.4}, min_size=9, fill_holes=True, smoothing=0.8)
    labels = read(tmp_path / "p_relabelled.tif")
    assert set(np.unique(labels)) == {0, 3, 8}
    np.testing.assert_array_equal(labels, expected.labels)


@pytest.mark.parametrize(
    ("shape", "axes", "class_ids"),
    [
        ((1, 20, 30), "CYX", (7,)),
        ((4, 1, 20, 30), "ZCYX", (7,)),
        ((2, 3, 2, 20, 30), "ZTCYX", (2, 300)),
    ],
)
def test_files_keep_their_classes_and_axes(
    tmp_path: Path, shape: tuple[int, ...], axes: str, class_ids: tuple[int, ...]
) -> None:
    values = np.random.default_rng(0).random(shape, dtype=np.float32)
    write(tmp_path / "p.tif", values, axes, class_ids)
    stored = read_probabilities(tmp_path / "p.tif")
    assert (stored.class_ids, stored.label_axes) == (class_ids, axes.replace("C", ""))
    levels = [quantise(frame) for frame in values.reshape(-1, *values.shape[-3:])]
    np.testing.assert_array_equal(np.stack(list(stored)), np.stack(levels))


@pytest.mark.parametrize("output", ["labels.zarr", "folder", "labels.tif"])
def test_formats_follow_from_the_suffix(tmp_path: Path, found: np.ndarray, output: str) -> None:
    write(tmp_path / "p.tif", found, "ZCYX", (1, 2))
    assert relabel(tmp_path / "p.tif", "--output", tmp_path / output).exit_code == 0
    again = relabel(tmp_path / "p.tif", "--output", tmp_path / output)
    assert again.exit_code == 2
    assert "already exists" in " ".join(again.output.split())
    assert read(tmp_path / output).shape == (3, 20, 30)


def test_probabilities_of_a_run_give_its_labels(files: Path) -> None:
    arguments = [
        "segment", files / "stack.tif", "--reference", files / "slice.tif", "--reference-frame", 2,
        "--device", "cpu", "--effort", 0.2,
        "--output", files / "labels.tif", "--probabilities", files / "p.tif",
    ]  # fmt: skip
    done = runner.invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    assert relabel(files / "p.tif", "--output", files / "again.tif").exit_code == 0
    labels = read(files / "labels.tif")
    assert set(np.unique(labels)) == {0, 3}
    np.testing.assert_array_equal(read(files / "again.tif"), labels)


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("p.tif", ["--threshold", "high"], "--threshold high is not valid"),
        ("p.tif", ["--threshold", "9=0.4"], "no class 9"),
        ("none.tif", [], "no image at"),
        ("stack.tif", [], "not probabilities"),
        ("p.png", [], "no image at"),
    ],
)
def test_wrong_input_gets_one_sentence(
    files: Path, found: np.ndarray, name: str, options: list[str], problem: str
) -> None:
    write(files / "p.tif", found, "ZCYX", (1, 2))
    result = relabel(files / name, *options)
    assert result.exit_code == 2
    assert problem in " ".join(result.output.split())
