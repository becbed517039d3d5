"""Reference labels that number objects or are not labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage
from typer.testing import CliRunner

from napari_vrp_sam.annotations.labels import merge_classes
from napari_vrp_sam.cli import app
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.segmenter import Segmenter
from napari_vrp_sam.io.images.stacks import read_labels, read_stack

runner = CliRunner()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack of forty bright squares, and labels that number the squares of one frame."""
    rows, columns = np.indices((80, 128))
    inside = (rows % 16 > 3) & (rows % 16 < 13) & (columns % 16 > 3) & (columns % 16 < 13)
    ids = np.where(inside, 1 + rows // 16 * 8 + columns // 16, 0).astype(np.uint16)
    noise = np.random.default_rng(0).integers(0, 40, (3, 80, 128), np.uint8)
    stack = noise + 160 * inside.astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "ids.tif", ids)
    tifffile.imwrite(
        tmp_path / "all.tif", np.stack([0 * ids, ids, 0 * ids]), photometric="minisblack"
    )
    (tmp_path / "frames").mkdir()
    (tmp_path / "drawn").mkdir()
    for index, frame in enumerate(stack):
        Image.fromarray(frame).save(tmp_path / f"frames/f{index}.png")
    Image.fromarray(ids).save(tmp_path / "drawn/f1.png")
    Image.fromarray(stack[1]).save(tmp_path / "picture.png")
    os.link(tmp_path / "stack.tif", tmp_path / "again.tif")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: Any) -> Any:
    # Little effort: these tests are about files and messages.
    command = ["segment", "--effort", "0.2", *map(str, arguments), "--device", "cpu"]
    return runner.invoke(app, command)


PICTURE = ("stack.tif", "--reference", "picture.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("stack.tif", "--reference", "ids.tif", "--reference-frame", 1),
            "The labels of ids.tif have at least 40 different",
        ),
        (("stack.tif", "--reference", "all.tif"), "labels of all.tif have at least 40"),
        (("frames", "--reference", "drawn"), "labels of drawn have at least 40"),
        (
            ("stack.tif", "--reference", "ids.tif", "--reference-frame", 1),
            "add --one-class",
        ),
        (
            ("stack.tif", "--reference", "picture.png", "--reference-frame", 1),
            "if it is a picture",
        ),
        (("stack.tif", "--reference", "stack.tif"), "stack.tif is the image itself"),
        (("stack.tif", "--reference", "again.tif"), "again.tif is the image itself"),
        (("frames", "--reference", "./frames", "--one-class"), "is the image itself"),
    ],
)
def test_references_that_are_not_class_labels(
    files: Path, arguments: tuple[Any, ...], message: str
) -> None:
    before = sorted(files.iterdir())
    result = run(*arguments)
    assert result.exit_code == 2, result.stderr
    assert message in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert sorted(files.iterdir()) == before


@pytest.mark.parametrize(
    ("image", "reference", "output"),
    [
        ("stack.tif", ("ids.tif", "--reference-frame", 1), "stack_labels.tif"),
        pytest.param("stack.tif", ("all.tif",), "stack_labels.tif", marks=pytest.mark.slow),
        pytest.param("frames", ("drawn",), "frames_labels", marks=pytest.mark.slow),
    ],
)
def test_one_class_merges_numbered_objects(
    files: Path, image: str, reference: tuple[Any, ...], output: str
) -> None:
    result = run(image, "--reference", *reference, "--one-class")
    assert result.exit_code == 0, result.stderr
    labels = np.asarray(read_stack(files / output)[0])
    truth = read_labels(files / "ids.tif") > 0
    assert set(np.unique(labels)) == {0, 1}
    for frame in labels:
        assert ((frame > 0) & truth).sum() / ((frame > 0) | truth).sum() > 0.7


DISCS = 8


@pytest.fixture
def discs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two frames of eight bright discs, and label files as other programs write them."""
    rows, columns = np.mgrid[:96, :160]
    rng = np.random.default_rng(0)
    numbered = np.zeros((2, 96, 160), np.uint16)
    for frame in numbered:
        for n in range(DISCS):
            row, column = 24 + 48 * (n // 4), 20 + 40 * (n % 4)
            row, column = row + rng.integers(-8, 9), column + rng.integers(-8, 9)
            frame[(rows - row) ** 2 + (columns - column) ** 2 <= 64] = n + 1
    inside = numbered > 0
    stack = (60 + 100 * inside + rng.normal(0, 12, inside.shape)).clip(0, 255).astype(np.uint8)
    strokes = np.where(inside[0] & (rows % 7 < 2), 1, 0)
    strokes[~inside[0] & (columns % 40 < 2) & (rows < 80)] = 2
    wide = ndimage.binary_dilation(inside[0], iterations=2)
    border = wide & ~ndimage.binary_erosion(inside[0])
    files = {
        "numbered": numbered[0],
        "strokes": strokes.astype(np.uint8),
        "void": np.where(border, 255, inside[0]).astype(np.uint8),
        "minus": np.where(border, -1, inside[0]).astype(np.int16),
        "truth": inside.astype(np.uint8),
    }
    for name, labels in files.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", labels, photometric="minisblack")
    tifffile.imwrite(tmp_path / "discs.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    monkeypatch.chdir(tmp_path)
    return tmp_path


CASES = {
    "numbered": (
        (
            "The labels of numbered.tif look like numbered objects (8 values, one object each): "
            "add --one-class if"
        ),
        "--one-class",
    ),
    "strokes": (
        (
            "The labels of strokes.tif look like strokes (1 and 2), not like masks: add "
            "--annotation-kind scribble, and --background 2 if 2 marks the background"
        ),
        "--annotation-kind scribble --background 2",
    ),
    "void": (
        (
            "The labels of void.tif contain 255 beside 1, as if it marked unknown pixels: add "
            "--ignore 255"
        ),
        "--ignore 255",
    ),
    "minus": (
        "The labels of minus.tif contain the negative value -1, which is no class: add --ignore -1",
        "--ignore -1",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_doubtful_labels_are_asked_about_before_learning(discs: Path, name: str) -> None:
    message, answer = CASES[name]
    arguments = "discs.tif", "--reference", f"{name}.tif", "--reference-frame", 0
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (discs / "discs_labels.tif").exists()
    assert run(*arguments, *answer.split(), "--effort", 0.9).exit_code == 0
    labels = np.asarray(read_stack(discs / "discs_labels.tif")[0])
    truth = read_labels(discs / "truth.tif") > 0
    assert set(np.unique(labels)) == {0, 1}
    assert ((labels > 0) & truth).sum() / ((labels > 0) | truth).sum() > 0.65


def test_each_value_may_be_a_class(discs: Path) -> None:
    arguments = "--reference", "void.tif", "--reference-frame", 0, "--classes-as-stored"
    result = run("discs.tif", *arguments)
    assert result.exit_code == 0, result.stderr
    labels = np.asarray(read_stack(discs / "discs_labels.tif")[0])
    assert set(np.unique(labels)) == {0, 1, 255}


def test_python_names_arguments(discs: Path) -> None:
    stack, _ = read_stack(discs / "discs.tif")
    numbered = read_labels(discs / "numbered.tif")
    with pytest.raises(InputError, match="`one_class=True` if they are objects of one class"):
        Segmenter().fit(stack, numbered, axes="ZYX", reference_frame=0)
    fitted = Segmenter().fit(stack, numbered, axes="ZYX", reference_frame=0, one_class=True)
    assert fitted.class_ids_ == (1,)
    np.testing.assert_array_equal(fitted.references_[0].mask, numbered > 0)


def test_label_values_with_a_meaning_are_not_merged() -> None:
    given = np.array([[-1, 0], [5, 7]], np.int16)
    assert merge_classes(given).tolist() == [[-1, 0], [1, 1]]
    assert merge_classes(given, (7, None)).tolist() == [[-1, 0], [1, 7]]
