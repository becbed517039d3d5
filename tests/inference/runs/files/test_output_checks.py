"""Names of outputs, and outputs that are refused before the work starts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.files.output_paths import (
    check_outputs,
    default_labels_path,
    default_objects_path,
    default_relabelled_path,
    plan_files,
    same_file,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures in a folder, and an image as Zarr."""
    (tmp_path / "frames").mkdir()
    for number in range(2):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / f"frames/f{number}.png")
    zarr.open_group(str(tmp_path / "z.zarr"), mode="w").create_array("0", data=np.zeros((2, 8, 8)))
    return tmp_path


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("exp.1.ome.tif", "exp.1_labels.tif"),
        ("a.PNG", "a_labels.png"),
        ("z.zarr", "z_labels.zarr"),
        ("frames", "frames_labels"),
        ("frames/f*.png", "frames_labels"),
        ("no_suffix", "no_suffix_labels.tif"),
    ],
)
def test_labels_lie_beside_the_image(folder: Path, image: str, labels: str) -> None:
    assert default_labels_path(folder / image) == (folder / labels)


def test_names_of_further_results() -> None:
    assert default_objects_path(Path("a_labels.tif")) == Path("a_objects.tif")
    assert default_relabelled_path(Path("a_probabilities.zarr")) == Path("a_relabelled.tif")


def test_files_of_a_batch_have_different_names(folder: Path) -> None:
    images = [folder / "frames/f0.png", folder / "f0.png"]
    assert plan_files(images, None) == [folder / "frames/f0_labels.png", folder / "f0_labels.png"]
    with pytest.raises(InputError, match=r"Several images would be written to .*f0_labels\.png"):
        plan_files(images, folder / "out")
    with pytest.raises(InputError, match="There is no image: give at least one file"):
        plan_files([], None)
    images[1].with_name("f0_labels.png").touch()
    with pytest.raises(InputError, match="already exists: resume to skip finished images"):
        plan_files(images, None)
    assert plan_files(images, None, replace=True)
    with pytest.raises(InputError, match=r"f0_labels\.png is an input"):
        plan_files(images, None, [folder / "f0_labels.png"], replace=True)


@pytest.mark.parametrize(
    ("output", "others", "inputs", "message"),
    [
        ("z.zarr", [], ["z.zarr/0"], r"z\.zarr contains an input"),
        ("frames/f1.png", [], ["frames"], r"f1\.png is an input"),
        ("frames/f1.png", [], ["frames/f*.png"], r"f1\.png is an input"),
        ("link.png", [], ["frames/f0.png"], r"link\.png is an input"),
        ("z.zarr/0/x.tif", [], ["z.zarr"], r"is inside of .*z\.zarr/labels/NAME"),
        ("new.tif", ["new.tif"], [], r"new\.tif would be overwritten by another result"),
        ("new.tif", ["new.tif/t.csv"], [], r"t\.csv would be overwritten by another result"),
        ("frames/f0.png/x/new.tif", [], [], r"f0\.png is not a folder: choose another path"),
        ("frames", [], [], "frames already exists: choose another path, or overwrite it"),
    ],
)
def test_outputs_that_are_refused(
    folder: Path, output: str, others: list[str], inputs: list[str], message: str
) -> None:
    (folder / "link.png").hardlink_to(folder / "frames/f0.png")
    before = sorted(folder.rglob("*"))
    with pytest.raises(InputError) as error:
        check_outputs(
            folder / output,
            [folder / path for path in others],
            [folder / path for path in inputs],
            overwrite=False,
        )
    assert re.search(message, str(error.value).replace("\\", "/"))
    assert sorted(folder.rglob("*")) == before


def test_a_file_replaces_a_file_and_a_folder_a_folder(folder: Path) -> None:
    check_outputs(folder / "frames", [], [], overwrite=True)
    (folder / "labels").touch()
    (folder / "a.tif").mkdir()
    for name, kind in (("labels", "file"), ("a.tif", "folder")):
        with pytest.raises(InputError, match=f"is a {kind} and cannot be replaced"):
            check_outputs(folder / name, [], [], overwrite=True)


def test_links_lead_to_the_same_file(folder: Path) -> None:
    (folder / "link.png").hardlink_to(folder / "frames/f0.png")
    assert same_file(folder / "link.png", folder / "frames/f0.png")
    assert not same_file(folder / "frames/f1.png", folder / "frames/f0.png")
    assert same_file(folder / "missing", folder / "frames/../missing")
