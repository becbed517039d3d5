from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.fine_tuning import api, job, run
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.lite.parts import LiteConfig
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint
from napari_vrp_sam.training.lite_file import save

runner = CliRunner()
RECIPE = FineTuningRecipe(
    batch_size=1, size=64, validations=2, gain=-1.0, exam_effort=0.02, exam_choices=False
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Bright squares on four frames, two of them annotated; as TIFF and as folders."""
    rng = np.random.default_rng(0)
    truth = np.zeros((4, 72, 80), np.uint8)
    for z in range(4):
        truth[z, 10:30, 10 + z : 30 + z] = 3
        truth[z, 40:60, 50 - z : 70 - z] = 3
    stack = rng.integers(0, 90, truth.shape, dtype=np.uint8) + 100 * (truth > 0).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    drawn = truth.copy()
    drawn[[0, 3]] = 0
    tifffile.imwrite(tmp_path / "drawn.tif", drawn, photometric="minisblack")
    tifffile.imwrite(tmp_path / "slice.tif", truth[2])
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for z in range(3):
        Image.fromarray(stack[z, : 72 - z]).save(tmp_path / f"images/i{z}.png")
    for z in range(2):
        Image.fromarray(truth[z, : 72 - z]).save(tmp_path / f"labels/i{z}.png")
    return tmp_path


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small crops, small probes, and whatever comes out is kept."""
    whole = run.fine_tune_events
    monkeypatch.setattr(run, "fine_tune_events", lambda job, control: whole(job, control, RECIPE))


def fine_tune(*arguments: Any) -> Any:
    return runner.invoke(app, ["fine-tune", *map(str, arguments), "--device", "cpu"])


def test_a_model_is_written_that_segments(files: Path) -> None:
    out = files / "own.safetensors"
    result = fine_tune(
        files / "stack.tif", "--reference", files / "drawn.tif", "--output", out, "--steps", 2,
        "--name", "Squares", "--parts", "vrp-encoder",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip().replace("\n", "") == str(out)
    assert "IoU on what was held out: 0." in result.stderr
    assert "Step 0: IoU 0." in result.stderr
    assert read_checkpoint(out).metadata["name"] == "Squares"
    result = runner.invoke(
        app,
        ["segment", str(files / "stack.tif"), "--reference", str(files / "slice.tif"),
         "--frame", "2", "--model", str(out), "--device", "cpu"],
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
    assert "does not belong to an image" in result.stderr
    (files / "labels/other.png").rename(files / "labels/i1.jpg")
    result = fine_tune(
        files / "images", "--reference", files / "labels", "--output", files / "b.safetensors"
    )
    assert result.exit_code == 2
    assert "JPEG changes labels" in result.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--output", "x.pth"], "not as 'x.pth'"),
        (["--output", "taken.safetensors"], "is there already: choose another name"),
        (["--output", "x.safetensors", "--parts", "lora"], "'lite' has none"),
        (["--output", "x.safetensors", "--steps", "3", "--minutes", "1"], "not both"),
        (["--output", "x.safetensors", "--minutes", "-1"], "-1 minutes teach nothing"),
        (["--output", "x.safetensors", "--model", "nix"], "There is no model 'nix'"),
        (["--output", "x.safetensors", "--frame", "q"], "--frame q is no frame"),
        (["--output", "x.safetensors", "--kind", "scribble"], "points or scribbles alone"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    files: Path, options: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    (files / "taken.safetensors").write_text("mine")
    before = sorted(files.iterdir())
    result = fine_tune("stack.tif", "--reference", "drawn.tif", *options)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert sorted(files.iterdir()) == before


def test_no_annotation_is_told(files: Path) -> None:
    empty = np.zeros((4, 72, 80), np.uint8)
    tifffile.imwrite(files / "empty.tif", empty, photometric="minisblack")
    result = fine_tune(
        files / "stack.tif", "--reference", files / "empty.tif", "--output", "x.safetensors"
    )
    assert result.exit_code == 2
    assert "There is no annotation" in result.stderr


def test_a_model_that_is_no_better_is_told(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = api.FineTuningResult(None, 0.7, 0.69)
    monkeypatch.setattr(job.FineTuneJob, "events", lambda *_: iter([tuned]))
    result = fine_tune(
        files / "stack.tif", "--reference", files / "drawn.tif", "--output", files / "x.safetensors"
    )
    assert result.exit_code == 0
    assert "0.700 before, 0.690 at best. That is no better, so nothing is" in " ".join(
        result.stderr.split()
    )
    assert result.stdout == ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGINT for one process")
def test_ctrl_c_keeps_the_checkpoint(files: Path) -> None:
    small = LiteConfig(dim=32, queries=4, heads=2, decoder_depth=1, decoder_mlp=64)
    save(files / "small.safetensors", LiteNetwork(small), {})
    command = [
        sys.executable, "-m", "napari_vrp_sam.cli", "fine-tune", str(files / "stack.tif"),
        "--reference", str(files / "drawn.tif"), "--output", str(files / "own.safetensors"),
        "--steps", "100000", "--device", "cpu", "--model", str(files / "small.safetensors"),
        "--parts", "decoder",
    ]  # fmt: skip
    code = "import sys; from napari_vrp_sam.cli import main; main()"
    command[1:3] = ["-c", code]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    checkpoint = files / "own.safetensors.fine-tuning/checkpoint.safetensors"
    try:
        while not checkpoint.is_file():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Interrupted." in told
    assert checkpoint.is_file()
    assert not (files / "own.safetensors").exists()
