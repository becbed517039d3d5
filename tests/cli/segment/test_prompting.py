"""`--prompting` and `--offline`, with a tiny full-size model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.cli.common.options import PromptingName
from napari_vrp_sam.models.sam.prompting import PROMPTINGS
from napari_vrp_sam.models.weights.downloads import CACHE_VARIABLE, OFFLINE_VARIABLE

runner = CliRunner()


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Command that segments two frames, of which the first is annotated."""
    stack = np.full((2, 48, 64), 40, np.uint8)
    stack[:, 10:30, 12:40] = 200
    drawn = (stack[0] > 100).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "drawn.tif", drawn)
    given = ["segment", str(tmp_path / "stack.tif"), "--reference", str(tmp_path / "drawn.tif")]
    return [*given, "--reference-frame", "0", "--device", "cpu", "--overwrite"]


def test_the_command_line_offers_every_prompting() -> None:
    assert [name.value for name in PromptingName] == list(PROMPTINGS)


def test_prompting_is_reported_and_can_be_chosen(
    command: list[str], tiny_model: str, tmp_path: Path
) -> None:
    found = {}
    for prompting in ("objects", "points+box", "persam", "probe"):
        chosen = [] if prompting == "objects" else ["--prompting", prompting]
        result = runner.invoke(app, [*command, "--model", tiny_model, *chosen])
        assert result.exit_code == 0, result.stderr
        assert f"SAM is prompted by {PROMPTINGS[prompting]}. Fine-tuning" in result.stderr
        found[prompting] = tifffile.imread(tmp_path / "stack_labels.tif")
    assert not np.array_equal(found["persam"], found["points+box"])
    square = tifffile.imread(tmp_path / "stack.tif") > 100
    for fitted in ("probe", "objects"):  # unlike SAM, whose weights are random here
        assert (found[fitted][1][square[1]] > 0).mean() > 0.9
    refused = runner.invoke(app, [*command, "--model", tiny_model, "--prompting", "vrp"])
    assert refused.exit_code == 2
    assert "has no VRP encoder" in refused.stderr
    refused = runner.invoke(app, [*command, "--prompting", "box"])
    assert refused.exit_code == 2
    assert "'lite' has a fixed prompting" in refused.stderr


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("stack.tif", "'stack.tif' is not a weights file"),
        ("missing.pth", "There is no weights file at missing.pth"),
    ],
)
def test_prompting_is_not_reported_without_a_model(
    command: list[str], model: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, [*command, "--model", model])
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "SAM is prompted" not in result.stderr


def test_offline_reports_missing_weights_before_the_run(
    command: list[str], tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "empty"))
    monkeypatch.setenv(OFFLINE_VARIABLE, "")
    result = runner.invoke(app, [*command, "--model", tiny_model, "--offline"])
    assert result.exit_code == 2
    assert "semantic.pth is not in" in result.stderr
    assert not (tmp_path / "stack_labels.tif").exists()
    monkeypatch.setenv(OFFLINE_VARIABLE, "")
    result = runner.invoke(app, [*command, "--model", tiny_model])
    assert "Cannot download semantic.pth" in result.stderr  # the address does not answer


def test_copied_weights_are_found_imported_and_verified(tiny_model: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert "downloaded" in runner.invoke(app, ["models", "list"]).stdout
    copied = cache / "sam under any name"
    moved = copied.rename(tmp_path / "sam.bin")
    missing = runner.invoke(app, ["models", "download", tiny_model])
    assert missing.exit_code == 2
    assert "sam.pth is not in" in missing.stderr
    imported = runner.invoke(app, ["models", "import", str(moved)])
    assert imported.exit_code == 0, imported.stderr
    assert str(cache / "sam.pth") in imported.stdout.replace("\n", "")
    whole = runner.invoke(app, ["models", "download", tiny_model])
    assert whole.stdout.split() == [str(cache / "sam.pth"), str(cache / "semantic.pth")]
    assert "tiny: intact" in runner.invoke(app, ["models", "verify", tiny_model]).stdout


def test_one_slice_with_a_prompting(data_folder: Path, tiny_model: str, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = ["evaluate", "one-slice", str(data_folder / "cells"), "--model", tiny_model]
    command += ["--prompting", "probe", "--max-frames", "2", "--device", "cpu"]
    result = runner.invoke(app, [*command, "--json", str(out)])
    assert result.exit_code == 0, result.stderr
    written = json.loads(out.read_text())
    assert written["protocol"]["prompting"] == "probe"
    assert written["mean_iou"]["model"] > 0.3
