"""Annotation files of other programs, and annotations of another image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from napari_vrp_sam import Segmenter, segment_stack
from napari_vrp_sam.cli import app
from napari_vrp_sam.errors import InputError

runner = CliRunner()


@pytest.fixture
def drawn(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The object of frame 2 as a polygon of QuPath, beside the stack of `files`."""
    ring = [[12, 22], [40, 22], [40, 42], [12, 42], [12, 22]]
    geometry = {"type": "Polygon", "coordinates": [ring], "plane": {"c": -1, "z": 2, "t": 0}}
    properties = {"objectType": "annotation", "classification": {"name": "Tumor"}}
    content = {"type": "Feature", "geometry": geometry, "properties": properties}
    (files / "cells.geojson").write_text(json.dumps(content))
    monkeypatch.chdir(files)
    return files


def run(*arguments: Any) -> Any:
    command = ["segment", "--effort", "0.2", *map(str, arguments), "--device", "cpu"]
    return runner.invoke(app, command)


def overlap(labels: Any, truth: Any) -> float:
    return float(((labels > 0) & (truth > 0)).sum() / ((labels > 0) | (truth > 0)).sum())


@pytest.mark.slow
def test_a_polygon_gives_the_same_labels_as_its_mask(drawn: Path) -> None:
    result = run("stack.tif", "--reference", "cells.geojson", "--output", "a.tif")
    assert result.exit_code == 0, result.stderr
    assert "cells.geojson: The classes are 1 Tumor." in result.stderr
    labels = tifffile.imread("a.tif")
    assert overlap(labels, tifffile.imread("truth.tif")) > 0.8
    mask = (tifffile.imread("slice.tif") > 0).astype(np.uint8)
    tifffile.imwrite("mask.tif", mask)
    run("stack.tif", "--reference", "mask.tif", "--reference-frame", 2, "--output", "b.tif")
    np.testing.assert_array_equal(labels, tifffile.imread("b.tif"))
    stack = tifffile.imread("stack.tif")
    again = segment_stack(stack, "cells.geojson", axes="ZYX", effort=0.2, device="cpu")
    np.testing.assert_array_equal(labels, again)


def test_the_annotated_image_need_not_be_part_of_the_stack(drawn: Path) -> None:
    stack, truth = tifffile.imread("stack.tif"), tifffile.imread("truth.tif")
    tifffile.imwrite("annotated.tif", stack[2])
    tifffile.imwrite("others.tif", stack[[0, 1, 3, 4]], imagej=True, metadata={"axes": "ZYX"})
    arguments = "others.tif", "--reference", "slice.tif", "--reference-image", "annotated.tif"
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    labels = tifffile.imread("others_labels.tif")
    assert overlap(labels, truth[[0, 1, 3, 4]]) > 0.8
    fitted = Segmenter(effort=0.2, device="cpu").fit(stack[2], truth[2])
    predicted = fitted.predict(stack[[0, 1, 3, 4]], axes="ZYX").labels
    np.testing.assert_array_equal(labels, predicted)


def test_the_annotated_image_needs_the_same_channels(drawn: Path) -> None:
    Image.fromarray(np.dstack([tifffile.imread("stack.tif")[2]] * 3)).save("annotated.png")
    arguments = "stack.tif", "--reference", "slice.tif", "--reference-image", "annotated.png"
    result = run(*arguments)
    assert result.exit_code == 2
    assert "annotated.png has 3 channels, but the image to segment has 1" in result.stderr
    assert not Path("stack_labels.tif").exists()


@pytest.mark.filterwarnings("ignore:1 files of .* belong to other images")
def test_masks_beside_the_images_are_the_reference(drawn: Path) -> None:
    Image.fromarray(tifffile.imread("slice.tif")).save("frames/f2_cp_masks.png")
    result = run("frames", "--reference", "frames", "--output", "labels.tif")
    assert result.exit_code == 0, result.stderr
    assert overlap(tifffile.imread("labels.tif"), tifffile.imread("truth.tif")) > 0.8


def test_python_names_its_arguments(drawn: Path) -> None:
    stack = tifffile.imread("stack.tif")
    with pytest.raises(InputError, match="There is no annotation file at"):
        segment_stack(stack, "missing.geojson", axes="ZYX")
    with pytest.raises(InputError, match=r"no column kind of classes: the file has objectType"):
        segment_stack(stack, "cells.geojson", axes="ZYX", class_column="kind")
