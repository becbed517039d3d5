"""The command `vrp-sam fine-tune`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.fine_tuning import run
from napari_vrp_sam.fine_tuning.events import FineTuningResult
from napari_vrp_sam.fine_tuning.job import FineTuneJob
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.lite.parts import LiteConfig
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint
from napari_vrp_sam.training.lite_file import save

runner = CliRunner()
RECIPE = FineTuningRecipe(
    batch_size=1,
    size=64,
    head_crop=64,
    validations=2,
    gain=-1.0,
    exam_effort=0.02,
    exam_choices=False,
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Write four frames with bright squares, two of them annotated, as TIFF and as folders."""
    rng = np.random.default_rng(0)
    ground_truth = np.zeros((4, 72, 80), np.uint8)
    for z in range(4):
        ground_truth[z, 10:30, 10 + z : 30 + z] = 3
        ground_truth[z, 40:60, 50 - z : 70 - z] = 3
    stack = rng.integers(0, 90, ground_truth.shape, dtype=np.uint8) + 100 * (
        ground_truth > 0
    ).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    drawn = ground_truth.copy()
    drawn[[0, 3]] = 0
    tifffile.imwrite(tmp_path / "drawn.tif", drawn, photometric="minisblack")
    tifffile.imwrite(tmp_path / "slice.tif", ground_truth[2])
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for z in range(3):
        Image.fromarray(stack[z, : 72 - z]).save(tmp_path / f"images/i{z}.png")
    for z in range(2):
        Image.fromarray(ground_truth[z, : 72 - z]).save(tmp_path / f"labels/i{z}.png")
    config = LiteConfig(dim=32, queries=4, heads=2, decoder_depth=1, decoder_mlp=64)
    save(tmp_path / "small.safetensors", LiteNetwork(config), {})
    return tmp_path


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use small crops and probes, and save every result."""
    events = run.fine_tune_events
    monkeypatch.setattr(
        run, "fine_tune_events", lambda job, control, _: events(job, control, recipe=RECIPE)
    )


def fine_tune(*arguments: Any) -> Any:
    return runner.invoke(app, ["fine-tune", *map(str, arguments), "--device", "cpu"])


@pytest.mark.slow
def test_saved_model_segments_a_stack(files: Path) -> None:
    out = files / "own.safetensors"
    result = fine_tune(
        files / "stack.tif", "--reference", files / "drawn.tif", "--output", out, "--steps", 2,
        "--name", "Squares", "--parts", "vrp-encoder", "--model", files / "small.safetensors",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip().replace("\n", "") == str(out)
    assert "Base model: IoU 0." in result.stderr
    messages = " ".join(result.stderr.split())
    assert "better (IoU on held-out annotation: 0." in messages
    assert "Only 2 steps were done" in messages
    assert read_checkpoint(out).metadata["name"] == "Squares"
    result = runner.invoke(
        app,
        ["segment", str(files / "stack.tif"), "--reference", str(files / "slice.tif"),
         "--reference-frame", "2", "--frames", "2:3", "--model", str(out), "--device", "cpu"],
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert (files / "stack_labels.tif").is_file()


def test_folders_of_images_of_different_sizes(files: Path) -> None:
    out = files / "own.safetensors"
    result = fine_tune(
        files / "images", "--reference", files / "labels", "--output", out, "--steps", 2
    )
    assert result.exit_code == 0, result.stderr
    sizes = read_checkpoint(out).metadata["fine_tuning_data"]
    assert '"sizes": ["71 x 80", "72 x 80"]' in sizes
    (files / "labels/i1.png").rename(files / "labels/other.png")
    result = fine_tune(
        files / "images", "--reference", files / "labels", "--output", files / "b.safetensors"
    )
    assert result.exit_code == 2
    assert "has no image of the same name" in result.stderr
    (files / "labels/other.png").rename(files / "labels/i1.jpg")
    result = fine_tune(
        files / "images", "--reference", files / "labels", "--output", files / "b.safetensors"
    )
    assert result.exit_code == 2
    assert "JPEG changes labels" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "x.pth"], "give 'x.pth' that suffix"),
        (["--output", "taken.safetensors"], "already exists: choose another name"),
        (["--output", "x.safetensors", "--parts", "lora"], "'lite' does not have"),
        (["--output", "x.safetensors", "--steps", "3", "--minutes", "1"], "not both"),
        (["--output", "x.safetensors", "--minutes", "-1"], "Cannot train for -1 minutes"),
        (["--output", "x.safetensors", "--model", "nix"], "There is no model 'nix'"),
        (["--output", "x.safetensors", "--reference-frame", "q"], "--reference-frame q is not a"),
        (
            ["--output", "x.safetensors", "--annotation-kind", "scribble"],
            "partial masks only",
        ),
    ],
)
def test_invalid_input_is_rejected(
    files: Path, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    (files / "taken.safetensors").write_text("mine")
    before = sorted(files.iterdir())
    result = fine_tune("stack.tif", "--reference", "drawn.tif", *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert sorted(files.iterdir()) == before


def test_missing_annotation_is_rejected(files: Path) -> None:
    empty = np.zeros((4, 72, 80), np.uint8)
    tifffile.imwrite(files / "empty.tif", empty, photometric="minisblack")
    result = fine_tune(
        files / "stack.tif", "--reference", files / "empty.tif", "--output", "x.safetensors"
    )
    assert result.exit_code == 2
    assert "There is no annotation" in result.stderr


def test_model_that_is_not_better_is_not_saved(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = FineTuningResult(None, 0.7, 0.69)
    monkeypatch.setattr(FineTuneJob, "events", lambda *_: iter([result]))
    outcome = fine_tune(
        files / "stack.tif", "--reference", files / "drawn.tif", "--output", files / "x.safetensors"
    )
    assert outcome.exit_code == 0
    assert (
        "The new model is not better (IoU on held-out annotation: 0.700 before, 0.690 after) "
        "and was not saved." in " ".join(outcome.stderr.split())
    )
    assert outcome.stdout == ""


def test_old_names_of_options_still_work(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = []

    def events(job: FineTuneJob, *_: Any) -> Iterator[FineTuningResult]:
        jobs.append(job)
        yield FineTuningResult(job.output, 0.5, 0.6)

    monkeypatch.setattr(FineTuneJob, "events", events)
    result = fine_tune(
        files / "stack.tif", "--reference", files / "slice.tif", "--output", "x.safetensors",
        "--frame", 2, "--kind", "box", "--limits", 0, 200,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    (job,) = jobs
    assert {(r.frame, r.kind) for r in job.references} == {(2, "box")}
    assert job.contrast_limits == (0.0, 200.0)
    for old, new in (
        ("--frame", "--reference-frame"),
        ("--kind", "--annotation-kind"),
        ("--limits", "--contrast-limits"),
    ):
        assert f"{old} is deprecated and will be removed in the next release; use {new}." in (
            " ".join(result.stderr.split())
        )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_saves_a_checkpoint(files: Path) -> None:
    command = [
        sys.executable, "-m", "napari_vrp_sam", "fine-tune", str(files / "stack.tif"),
        "--reference", str(files / "drawn.tif"), "--output", str(files / "own.safetensors"),
        "--steps", "100000", "--device", "cpu", "--model", str(files / "small.safetensors"),
        "--parts", "decoder",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    checkpoint = files / "own.safetensors.fine-tuning/checkpoint.safetensors"
    try:
        while not checkpoint.is_file():
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Interrupted." in messages
    assert checkpoint.is_file()
    assert not (files / "own.safetensors").exists()
