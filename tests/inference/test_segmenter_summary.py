"""Content of segmenter files, without their model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from typer.testing import CliRunner

from napari_vrp_sam import InputError, Reference
from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.inference.segmenter_file import read_segmenter, write_segmenter
from napari_vrp_sam.inference.segmenter_summary import make_thumbnail, segmenter_summary

IMAGE = np.full((300, 200, 1), 100, np.uint8)


def saved(path: Path, **settings: object) -> Path:
    mask = np.zeros((300, 200), np.float32)
    mask[40:60, 30:90] = 1
    references = [
        Reference(IMAGE, mask, 1, "mask", frame=2),
        Reference(IMAGE, mask, 3, "partial", frame=2),
        Reference(IMAGE, mask, 3, "partial", frame=5),
    ]
    job = SegmentationJob(
        None, references=references, model="lite", normalisation=Normalisation((50.0,), (150.0,)),
        tile_size=512,
    )  # fmt: skip
    names = {1: "nucleus", 3: "debris"}
    write_segmenter(path, job, axes="ZYX", expected_iou={1: 0.8, 3: None}, class_names=names)
    return path


def test_summary(tmp_path: Path) -> None:
    found = segmenter_summary(saved(tmp_path / "a.segmenter"))
    assert found.model == "lite"
    assert found.classes == {1: "nucleus", 3: "debris"}
    assert found.expected_iou == {1: 0.8, 3: None}
    assert found.kinds == ("mask", "partial")
    assert (found.references, found.channels) == (2, 1)
    assert found.contrast_limits == ((50.0, 150.0),)
    assert found.settings["axes"] == "ZYX"
    assert found.settings["tile_size"] == 512
    job = read_segmenter(tmp_path / "a.segmenter")[0]
    assert job.normalisation is not None
    expected = make_thumbnail(job.references[0], job.normalisation)
    np.testing.assert_array_equal(found.thumbnail, expected)
    assert len(read_segmenter(tmp_path / "a.segmenter")[0].references) == 3


def test_the_thumbnail_shows_image_and_annotation() -> None:
    mask = np.zeros((300, 200), np.float32)
    mask[150, 100] = 1  # a point
    reference = Reference(IMAGE, mask, 1, "point")
    picture = make_thumbnail(reference, Normalisation((50.0,), (150.0,)))
    assert picture.shape == (100, 67, 3)
    marked = np.argwhere(np.ptp(picture.astype(int), axis=-1) > 20)
    np.testing.assert_array_equal(marked, [[50, 33]])
    np.testing.assert_array_equal(picture[0, 0], [127] * 3)


def test_files_without_thumbnail_and_names(tmp_path: Path) -> None:
    """Files of earlier versions have neither."""
    from safetensors import safe_open

    with safe_open(saved(tmp_path / "a.segmenter"), framework="numpy") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys() if key != "thumbnail"}  # noqa: SIM118
        metadata = file.metadata()
    metadata["segmenter"] = metadata["segmenter"].replace('"class_names"', '"other"')
    save_file(arrays, tmp_path / "old.segmenter", metadata)
    found = segmenter_summary(tmp_path / "old.segmenter")
    assert found.thumbnail is None
    assert found.classes == {1: "class 1", 3: "class 3"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 99}, "was written by a newer version: update napari-vrp-sam"),
        (
            {"model": "vit_z"},
            "The segmenter's model 'vit_z' does not exist: import it or fit it again with another",
        ),
        ({"model": "/gone/a.pth"}, "The segmenter's model is no longer at /gone/a.pth: fit it"),
        ({"weights": "0" * 64}, "was fitted with other weights of 'lite' than those that are"),
        ({"references": []}, "damaged"),
    ],
)
def test_segmenters_that_cannot_be_used_here(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    from safetensors import safe_open

    path = saved(tmp_path / "a.segmenter")
    with safe_open(path, framework="numpy") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    metadata["segmenter"] = json.dumps(json.loads(metadata["segmenter"]) | changes)
    save_file(arrays, path, metadata)
    with pytest.raises(InputError, match=message):
        read_segmenter(path)


@pytest.mark.parametrize("content", [None, b"", b"no segmenter at all", b"\x40" + bytes(200)])
def test_other_files_are_refused_in_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.segmenter"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        segmenter_summary(path)
    assert "\n" not in str(refused.value)


def test_the_command_line_shows_it(tmp_path: Path) -> None:
    path, picture = saved(tmp_path / "a.segmenter"), tmp_path / "a.png"
    result = CliRunner().invoke(
        app, ["segmenter", "show", str(path), "--thumbnail", str(picture)], env={"COLUMNS": "150"}
    )
    assert result.exit_code == 0, result.output
    for text in ("nucleus, expected IoU 0.80", "debris", "lite", "2 images (mask, partial)", "512"):
        assert text in result.output
    with Image.open(picture) as shown:
        assert shown.size == (67, 100)
    again = ["segmenter", "show", str(path), "--thumbnail", str(picture)]
    refused = CliRunner().invoke(app, again)
    assert refused.exit_code == 2
    assert CliRunner().invoke(app, [*again, "--overwrite"]).exit_code == 0
