"""Default output paths; inputs are never overwritten, with or without `--overwrite`."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.files.output_paths import (
    check_outputs,
    default_labels_path,
    default_objects_path,
)
from napari_vrp_sam.io.images.stacks import read_labels

runner = CliRunner()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack as TIFF, Zarr and folder, and its annotations, in the working directory."""
    stack = np.random.default_rng(0).integers(0, 40, (3, 48, 64), np.uint8)
    stack[:, 10:30, 12:40] += 160
    drawn = (stack[1] > 100).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "a_objects.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    zarr.open_group(str(tmp_path / "z.zarr"), mode="w").create_array("0", data=stack)
    tifffile.imwrite(tmp_path / "drawn.tif", drawn)
    for name in ("fr", "labels", "twins"):
        (tmp_path / name).mkdir()
    for index, frame in enumerate(stack):
        Image.fromarray(frame).save(tmp_path / f"fr/f{index}.png")
    Image.fromarray(drawn).save(tmp_path / "labels/f1.png")
    Image.fromarray(stack[0]).save(tmp_path / "twins/f1.png")
    Image.fromarray(stack[0]).save(tmp_path / "twins/f1.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: Any) -> Any:
    # Little effort: these tests are about files and messages.
    command = ["segment", "--effort", "0.2", *map(str, arguments), "--device", "cpu"]
    return runner.invoke(app, command)


def error_of(result: Any) -> str:
    """Return the error; only warnings about deprecated options may precede it."""
    *warnings, error = result.stderr.splitlines()
    assert all("is deprecated" in warning for warning in warnings)
    assert error.startswith("Error: ")
    return str(error)


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


STACK = ("stack.tif", "--reference", "drawn.tif", "--reference-frame", 1)
FOLDER = ("fr", "--reference", "labels/f1.png", "--reference-frame", 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("z.zarr/0", "--reference", "drawn.tif", "--reference-frame", 1, "--output", "z.zarr"),
            "z.zarr contains an input",
        ),
        (
            ("z.zarr", "--reference", "drawn.tif", "--reference-frame", 1, "--output", "z.zarr"),
            "z.zarr is an input",
        ),
        ((*FOLDER, "--output", "labels"), "labels/f1.png is an input"),
        (("fr", "--reference", "labels", "--output", "labels"), "labels is an input"),
        ((*FOLDER, "--output", "x.tif", "--probabilities", "fr/f1.png"), "f1.png is an input"),
        ((*STACK, "--output", "link.tif"), "link.tif is an input"),
        (
            (*STACK, "--output", "o.tif", "--probabilities", "./o.tif"),
            "o.tif would be overwritten",
        ),
        ((*STACK, "--output", "o.zarr", "--probabilities", "o.zarr/p.tif"), "p.tif would be"),
        (
            (*STACK, "--output", "o.tif", "--instances", "--probabilities", "o_objects.tif"),
            "o_objects.tif would be overwritten",
        ),
        (
            ("a_objects.tif", *STACK[1:], "--output", "a_labels.tif", "--instances"),
            "a_objects.tif is an input",
        ),
        (
            ("twins", "--reference", "drawn.tif", "--reference-frame", 1, "--output", "new"),
            "twins holds two images with the same name, f1.jpg and f1.png",
        ),
        ((*STACK, "--output", "folder.tif"), "folder.tif is a folder"),
        ((*STACK, "--output", "drawn"), "drawn is a file"),
    ],
)
def test_outputs_that_would_overwrite_files_are_refused(
    files: Path, arguments: tuple[Any, ...], message: str
) -> None:
    (files / "folder.tif").mkdir()
    (files / "drawn").touch()
    os.link(files / "stack.tif", files / "link.tif")
    before = contents(files)
    result = run(*arguments, "--overwrite")
    assert result.exit_code == 2, result.stderr
    error = error_of(result)
    assert message in error.replace("\\", "/")
    assert contents(files) == before


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (
            ("--output", "o.tif", "--table", "drawn.tif/t.csv"),
            r"drawn\.tif/t\.csv cannot be written, as .*drawn\.tif is not a folder",
        ),
        (
            ("--output", "o.tif", "--table", "o.tif/new/t.csv"),
            r"new/t\.csv would be overwritten",
        ),
        (("--output", "drawn.tif/new/q.tif"), "drawn.tif is not a folder"),
        (("--output", "o.tif", "--probabilities", "closed/new/p.tif"), "p.tif cannot be written"),
        (("--output", "closed/o.zarr"), "o.zarr cannot be written"),
        (("--output", "closed"), r"closed/0\.png cannot be written"),
        (("--output", f"new/{'o' * 250}.tif"), "cannot be written: File name too long"),
    ],
)
def test_paths_that_are_not_writable_are_reported_before_the_run(
    files: Path, outputs: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "closed").mkdir()
    whole_mkdir, whole_temporary = Path.mkdir, tempfile.NamedTemporaryFile

    # Permissions do not stop root, who may run the tests.
    def mkdir(self: Path, *args: Any, **kwargs: Any) -> None:
        if self.parent.name == "closed":
            raise PermissionError(13, "Permission denied")
        whole_mkdir(self, *args, **kwargs)

    def temporary(*args: Any, **kwargs: Any) -> Any:
        if Path(kwargs["dir"]).name == "closed":
            raise PermissionError(13, "Permission denied")
        return whole_temporary(*args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", temporary)
    before = sorted(files.rglob("*"))
    result = run(*STACK, *outputs)
    assert result.exit_code == 2, result.stderr
    assert re.search(message, error_of(result).replace("\\", "/"))
    assert sorted(files.rglob("*")) == before


def test_missing_folders_are_created(files: Path) -> None:
    result = run(*STACK, "--output", "new/er/o.tif", "--table", "old/t.csv", "--frames", "1:2")
    assert result.exit_code == 0, result.stderr
    made = [path.name for folder in ("new", "old") for path in (files / folder).rglob("*")]
    assert sorted(made) == ["er", "o.tif", "o_objects.tif", "t.csv"]


def test_an_image_holds_only_label_images(files: Path) -> None:
    image = files / "z.zarr"
    check_outputs(image / "labels/nuclei", [], [image], overwrite=False)
    for path in (image / "0", image / "labels.tif", image / "labels/nuclei/0"):
        with pytest.raises(InputError, match=r"z\.zarr/labels/NAME"):
            check_outputs(path, [], [image], overwrite=True)


def test_probabilities_in_a_zarr_are_replaced(files: Path) -> None:
    given = files / "o.tif", [files / "z.zarr"], [files / "stack.tif"]
    with pytest.raises(InputError, match="already exists"):
        check_outputs(*given, overwrite=False)
    check_outputs(*given, overwrite=True)


@pytest.mark.parametrize("more", [(), ("--resume",)])
def test_an_annotated_frame_is_not_overwritten(files: Path, more: tuple[str, ...]) -> None:
    before = contents(files)
    result = run(*FOLDER, "--output", "labels", *more)
    assert result.exit_code == 2
    assert "f1.png is an input" in result.stderr
    assert contents(files) == before


@pytest.mark.slow
def test_results_may_be_written_beside_their_inputs(files: Path) -> None:
    given: list[Callable[[], Any]] = [
        lambda: run("fr", "--reference", "labels", "--frames", "0:1", "--output", "fr/labels"),
        # Frame 1 is annotated and not segmented.
        lambda: run(*FOLDER, "--output", "labels", "--frames", "0:1", "--overwrite"),
    ]
    for attempt in given:
        before = contents(files)
        result = attempt()
        assert result.exit_code == 0, result.stderr
        assert before.items() <= contents(files).items()
    assert read_labels(files / "fr/labels/f0.png").any()
    assert read_labels(files / "labels/f0.png").any()


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("exp.tif", "exp_labels.tif"),
        ("exp.1.tif", "exp.1_labels.tif"),
        ("exp.2.ome.TIF", "exp.2_labels.tif"),
        ("2024.05.01.Ome.tiff", "2024.05.01_labels.tif"),
        ("a.b.PNG", "a.b_labels.png"),
        (".tif", ".tif_labels.tif"),
    ],
)
def test_default_labels_of_a_file(image: str, labels: str) -> None:
    assert default_labels_path(Path("data.d", image)) == Path("data.d", labels)


def test_default_labels_of_folders_and_zarr(tmp_path: Path) -> None:
    (tmp_path / "2024.05.01_cells").mkdir()
    assert (
        default_labels_path(tmp_path / "2024.05.01_cells") == tmp_path / "2024.05.01_cells_labels"
    )
    zarr.create_array(str(tmp_path / "exp.1.ome.zarr"), shape=(2, 2), dtype="u1")
    assert default_labels_path(tmp_path / "exp.1.ome.zarr") == tmp_path / "exp.1_labels.zarr"


@pytest.mark.parametrize(
    ("labels", "objects"),
    [
        ("exp.1_labels.tif", "exp.1_objects.tif"),
        ("exp.2_labels.zarr", "exp.2_objects.tif"),
        ("2024.05.01_cells_labels", "2024.05.01_cells_objects.tif"),
        ("mine.png", "mine_objects.tif"),
    ],
)
def test_default_objects(labels: str, objects: str) -> None:
    assert default_objects_path(Path("data.d", labels)) == Path("data.d", objects)
