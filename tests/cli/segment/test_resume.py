"""`--resume` after a crash at any moment: no frame is segmented twice, the labels are the same."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.runs import segmentation
from napari_vrp_sam.inference.runs.events import FrameResult
from napari_vrp_sam.io.images.stacks import read_stack
from napari_vrp_sam.io.labels.journal import journal_path

KILLS = int(os.environ.get("VRP_SAM_KILLS", "1"))
"""Number of times that a run is killed; 20 is thorough."""

FRAMES = 12 + 8 * KILLS

SCRIPT = """
import sys
from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.runs import segmentation
from napari_vrp_sam.inference.runs.events import FrameResult

whole = segmentation.segmentation_events

def logged(*args, **kwargs):
    for event in whole(*args, **kwargs):
        if isinstance(event, FrameResult):
            with open(sys.argv[1], "a") as log:
                print(event.index, file=log)
        yield event

segmentation.segmentation_events = logged
app(sys.argv[2:])
"""

runner = CliRunner()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 40, (FRAMES, 64, 64), dtype=np.uint8)
    drawn = np.zeros((FRAMES, 64, 64), np.uint8)
    for index in range(FRAMES):
        row = 5 + index % 30
        stack[index, row : row + 20, 12:40] += 160
    drawn[2, 7:27, 12:40] = 1
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "drawn.tif", drawn)
    return tmp_path


def arguments(files: Path, output: Path, *more: Any) -> list[str]:
    given = ("segment", files / "stack.tif", "--reference", files / "drawn.tif", "--output", output)
    return [*map(str, (*given, *more)), "--device", "cpu", "--effort", "0.2"]


def segment(files: Path, output: Path, *more: Any) -> Any:
    return runner.invoke(app, arguments(files, output, *more))


def finished(output: Path) -> list[int]:
    lines = (
        journal_path(output).read_bytes().split(b"\n")[1:-1]
        if journal_path(output).exists()
        else []
    )
    return [json.loads(line)["index"] for line in lines]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.timeout(120 + 60 * KILLS)
@pytest.mark.parametrize("name", ["killed.zarr", "killed"] if KILLS > 1 else ["killed.zarr"])
def test_labels_are_the_same_after_crashes_at_random_moments(files: Path, name: str) -> None:
    whole, killed = files / name.replace("killed", "whole"), files / name
    log = files / "log"
    log.touch()
    assert segment(files, whole).exit_code == 0

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", SCRIPT, str(log), *arguments(files, killed, "--resume")]
        return subprocess.Popen(command, stderr=subprocess.PIPE)

    rng = np.random.default_rng()
    for _ in range(KILLS):
        known = len(finished(killed))
        wanted = known + int(rng.integers(0, 7))
        process = start()
        while len(finished(killed)) < wanted and process.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        done, begun = finished(killed), log.read_text().split()
        assert len(done) >= wanted
        # Frames that the killed run had finished must not be segmented again.
        log.write_text("".join(f"{index}\n" for index in begun if int(index) in done))
    process = start()
    _, printed = process.communicate(timeout=300)
    assert process.returncode == 0, printed
    assert f"{FRAMES} of {FRAMES} frames are in".encode() in printed
    assert sorted(map(int, log.read_text().split())) == list(range(FRAMES))
    expected, found = read_stack(whole)[0], read_stack(killed)[0]
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    assert np.asarray(found).any(axis=(1, 2)).all()
    hidden = [path.name for path in files.iterdir() if path.name.startswith(".")]
    assert not [part for part in hidden if part != f".{killed.name}-"]


def test_an_interrupted_run_is_resumed(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = segmentation.segmentation_events
    segmented = []

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        for event in whole(*args, **kwargs):
            yield event
            if isinstance(event, FrameResult):
                segmented.append(event.index)
                if len(segmented) == 3:
                    raise KeyboardInterrupt

    monkeypatch.setattr(segmentation, "segmentation_events", interrupted)
    output = files / "out/labels"
    wanted = ("--resume", "--frames", "0:6", "--instances")
    assert segment(files, output, *wanted).exit_code == 130
    assert sorted(finished(output)) == sorted(segmented)
    result = segment(files, output, *wanted)
    assert result.exit_code == 0, result.stderr
    assert sorted(segmented) == list(range(6))
    assert "6 of 6 frames are in" in result.stderr
    objects, _ = read_stack(files / "out/labels_objects.tif")
    labels, _ = read_stack(output)
    np.testing.assert_array_equal(np.asarray(objects)[:6] > 0, np.asarray(labels) > 0)
    # A batch system may start it again: nothing is left to do.
    result = segment(files, output, "--resume", "--frames", "0:6")
    assert result.exit_code == 0, result.stderr
    assert len(segmented) == 6

    result = segment(files, output, "--resume", "--contrast-limits", "0", "90")
    assert result.exit_code == 2
    assert "started with another contrast limits" in " ".join(result.stderr.split())
    result = segment(files, output)
    assert "already exists" in result.stderr
    np.testing.assert_array_equal(np.asarray(read_stack(output)[0]), np.asarray(labels))


@pytest.mark.slow
def test_other_settings_are_not_resumed(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VRP_SAM_CACHE", str(files / "cache"))
    monkeypatch.setenv("VRP_SAM_FEATURES", "1")
    output = files / "labels.zarr"

    def resume(*more: str) -> str:
        result = segment(files, output, "--resume", *more)
        assert result.exit_code in {0, 2}, result.exception
        return " ".join(result.stderr.split())

    assert "2 of 2 frames are in" in resume("--no-cache", "--frames", "0:2")
    assert "started with another feature cache on disk:" in resume("--cache")
    assert "started with another precision:" in resume("--precision", "bfloat16")
    # An equivalent setting is resumed.
    assert "3 of 3 frames are in" in resume("--frames", "0:3", "--precision", "float32")
    monkeypatch.setenv("VRP_SAM_FEATURES", "0")
    assert "4 of 4 frames are in" in resume("--frames", "0:4", "--cache")
    monkeypatch.setattr("napari_vrp_sam.__version__", "0.0.1")
    assert "started with another version of napari-vrp-sam:" in resume()


def test_full_size_models_are_resumed(files: Path, tiny_model: str) -> None:
    """Their precision depends on the device, and their features are cached by default."""
    output = files / "labels"
    given = ("--model", tiny_model, "--frames", "0:1")
    first = segment(files, output, *given)
    assert first.exit_code == 0, first.stderr
    settings = json.loads(journal_path(output).read_bytes().split(b"\n")[0])["settings"]
    assert settings["precision"] in {"float32", "bfloat16"}
    assert settings["feature cache on disk"] is False
    again = segment(files, output, *given, "--resume", "--precision", settings["precision"])
    assert again.exit_code == 0, again.stderr


@pytest.mark.slow
def test_memory_does_not_grow_with_the_stack(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = np.tile(tifffile.imread(files / "stack.tif")[:10], (16, 1, 1))
    zarr.create_array(str(files / "long.zarr"), data=stack, chunks=(1, 64, 64))
    tifffile.imwrite(files / "slice.tif", tifffile.imread(files / "drawn.tif")[2])
    whole = segmentation.segmentation_events
    used = []

    def watched(*args: Any, **kwargs: Any) -> Any:
        for event in whole(*args, **kwargs):
            yield event
            if isinstance(event, FrameResult):
                used.append(psutil.Process().memory_info().rss)

    monkeypatch.setattr(segmentation, "segmentation_events", watched)
    given = (
        "segment",
        files / "long.zarr",
        "--reference",
        files / "slice.tif",
        "--reference-frame",
        2,
    )
    result = runner.invoke(app, [*map(str, given), "--device", "cpu"])
    assert result.exit_code == 0, result.stderr
    labels, axes = read_stack(files / "long_labels.zarr")
    assert (labels.shape, axes) == (stack.shape, "ZYX")
    assert np.asarray(labels).any(axis=(1, 2)).all()
    # A leak of probabilities (64 KB a frame) and features (300 KB) would be 40 MB in all.
    assert max(used[60:]) - used[59] < 15e6


@pytest.mark.parametrize(
    ("output", "more", "message"),
    [
        ("labels.tif", (), r"ends in \.zarr, or a folder"),
        (
            "labels.zarr",
            ("--probabilities", "p.tif"),
            "probabilities of an interrupted run",
        ),
        ("labels.zarr", ("--model", "missing.safetensors"), "There is no weights file"),
    ],
)
def test_runs_that_cannot_be_resumed(
    files: Path, output: str, more: tuple[str, ...], message: str
) -> None:
    before = sorted(files.iterdir())
    result = segment(files, files / output, "--resume", *more)
    assert result.exit_code == 2
    assert re.search(message, " ".join(result.stderr.split()))
    assert sorted(files.iterdir()) == before
