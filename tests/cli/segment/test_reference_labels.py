"""Reference labels that number objects or are not labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from napari_vrp_sam.annotations.labels import MAX_CLASSES
from napari_vrp_sam.cli import app
from napari_vrp_sam.cli.segment.reference_labels import ClassLabels
from napari_vrp_sam.errors import InputError
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
            "ids.tif has 40 different",
        ),
        (("stack.tif", "--reference", "all.tif"), "all.tif has 40 different labels"),
        (("frames", "--reference", "drawn"), "drawn has 40 different labels"),
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


def test_labels_are_counted_as_they_are_read() -> None:
    stack = np.arange(10 * 4 * 4, dtype=np.int16).reshape(10, 4, 4)
    labels = ClassLabels(stack, Path("a.tif"), one_class=False)
    assert labels[0].max() == 15
    assert labels[1].max() == 31  # both frames together have few enough labels
    assert labels[0].max() == 15
    with pytest.raises(InputError, match=f"has 47 different labels, more than {MAX_CLASSES}"):
        labels[2]


def test_negative_labels_stay_negative() -> None:
    given = np.array([[-1, 0], [5, 7]], np.int16)
    labels = ClassLabels(given, Path("a.tif"), one_class=True)
    assert labels[()].tolist() == [[-1, 0], [1, 1]]


def test_label_values_with_a_meaning_are_not_classes() -> None:
    numbered = np.arange(MAX_CLASSES + 2)
    labels = ClassLabels(numbered, Path("labels.tif"), one_class=False, keep=[MAX_CLASSES + 1])
    assert len(labels[:]) == MAX_CLASSES + 2
    merged = ClassLabels(numbered, Path("labels.tif"), one_class=True, keep=[2])
    assert set(merged[:].tolist()) == {0, 1, 2}
