"""`vrp-sam segment` with several images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

from napari_vrp_sam import Segmenter
from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.runs.files.file_result import SUMMARY
from napari_vrp_sam.models.lite.model import LiteModel

runner = CliRunner()


def run(*arguments: Any) -> Any:
    command = ["segment", "--effort", "0.2", *map(str, arguments), "--device", "cpu"]
    return runner.invoke(app, command)


@pytest.fixture
def scenes(tmp_path: Path) -> list[Path]:
    """Three stacks of a bright square, the first annotated, and a file that is no image."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(3):
        truth = np.zeros((2, 64, 64), np.uint8)
        truth[:, 8 + 6 * number : 28 + 6 * number, 20:44] = 1
        stack = rng.integers(0, 40, truth.shape, dtype=np.uint8) + (150 - 20 * number) * truth
        paths.append(tmp_path / f"scene{number}.tif")
        calibration = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
        tifffile.imwrite(paths[-1], stack, imagej=True, resolution=(5, 5), metadata=calibration)
        tifffile.imwrite(tmp_path / f"truth{number}.tif", truth)
    tifffile.imwrite(tmp_path / "drawn.tif", tifffile.imread(tmp_path / "truth0.tif")[0])
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"no image")
    return [*paths[:2], bad, paths[2]]


def reference(scenes: list[Path]) -> tuple[Any, ...]:
    return "--reference", scenes[0].parent / "drawn.tif", "--reference-frame", 0


def test_one_annotation_for_many_files(scenes: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    result = run(*scenes, *reference(scenes), "--output", folder)
    assert result.exit_code == 1  # one of the files is bad
    assert "3 of 4 images are segmented" in result.stderr
    assert "bad.tif: failed." in result.stderr
    table = pd.read_csv(folder / SUMMARY)
    assert table.state.tolist() == ["segmented", "segmented", "failed", "segmented"]
    assert table.frames.tolist() == [2, 2, 0, 2]
    for number in range(3):
        labels = tifffile.imread(folder / f"scene{number}_labels.tif")
        truth = tifffile.imread(tmp_path / f"truth{number}.tif")
        assert ((labels > 0) & (truth > 0)).sum() / ((labels > 0) | (truth > 0)).sum() > 0.8
    with tifffile.TiffFile(folder / "scene1_labels.tif") as file:
        assert file.imagej_metadata is not None
        assert file.imagej_metadata["spacing"] == 2.0


def test_the_other_files_have_the_labels_of_python(scenes: list[Path], tmp_path: Path) -> None:
    assert run(*scenes[:2], *reference(scenes), "--output", tmp_path / "out").exit_code == 0
    drawn = tifffile.imread(tmp_path / "drawn.tif")
    segmenter = Segmenter("lite", device="cpu", effort=0.2).fit(
        tifffile.imread(scenes[0]), drawn, axes="ZYX", reference_frame=0
    )
    expected = segmenter.predict(tifffile.imread(scenes[1])).labels
    written = tifffile.imread(tmp_path / "out" / "scene1_labels.tif")
    np.testing.assert_array_equal(written, expected)


def test_the_annotation_is_learned_once(
    scenes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = []
    prepare = LiteModel.prepare

    def counted(model: LiteModel, references: Any) -> Any:
        learned.append(len(references))
        return prepare(model, references)

    monkeypatch.setattr(LiteModel, "prepare", counted)
    images = scenes[0], scenes[1], scenes[3]
    assert run(*images, *reference(scenes), "--output", tmp_path / "out").exit_code == 0
    assert learned == [1]


def test_resume_skips_finished_files(scenes: list[Path], tmp_path: Path) -> None:
    out = "--output", tmp_path / "out"
    assert run(*scenes[:2], *reference(scenes), *out).exit_code == 0
    done = (tmp_path / "out" / "scene1_labels.tif").stat().st_mtime_ns
    again = run(*scenes[:2], *reference(scenes), *out)
    assert again.exit_code != 0
    assert "resume to skip finished images" in again.output + str(again.exception)
    more = run(*scenes[:2], scenes[3], *reference(scenes), *out, "--resume")
    assert more.exit_code == 0
    assert "scene1.tif: already segmented." in more.stderr
    table = pd.read_csv(tmp_path / "out" / SUMMARY)
    assert table.state.tolist() == ["skipped", "skipped", "segmented"]
    assert (tmp_path / "out" / "scene1_labels.tif").stat().st_mtime_ns == done


def test_mistakes_lose_nothing(scenes: list[Path], tmp_path: Path) -> None:
    result = run(*scenes, *reference(scenes), "--probabilities", tmp_path / "p.tif")
    assert "--probabilities works with one image only" in result.output + str(result.exception)
    same = tmp_path / "more" / scenes[0].name
    same.parent.mkdir()
    same.write_bytes(scenes[0].read_bytes())
    result = run(scenes[0], same, *reference(scenes), "--output", tmp_path / "out")
    assert "Several images would be written to" in result.output + str(result.exception)
    assert not (tmp_path / "out").exists()


def test_an_image_with_other_channels_is_reported(scenes: list[Path], tmp_path: Path) -> None:
    colours = tmp_path / "colours.tif"
    pixels = np.repeat(tifffile.imread(scenes[1])[0][..., None], 3, axis=-1)
    tifffile.imwrite(colours, pixels, photometric="rgb")
    result = run(scenes[0], colours, *reference(scenes), "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert "colours.tif has 3 channels, but the annotations use 1" in result.stderr
